"""SLURM 22.05 and later."""

from adaptive_scheduler.schedulers.slurm.scheduler import SLURM

__all__ = ["SLURM"]
