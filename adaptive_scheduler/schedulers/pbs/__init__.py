"""OpenPBS, also known as PBS Professional."""

from adaptive_scheduler.schedulers.pbs.scheduler import PBS

__all__ = ["PBS"]
