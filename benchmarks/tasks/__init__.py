"""Rows of calls and commands; each goes through the public `Executor` on ``scheduler.Here``."""
