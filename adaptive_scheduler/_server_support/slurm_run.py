"""Where adaptive-scheduler 2 has `slurm_run`."""

from adaptive_scheduler.runs.compat.batch.partitions import slurm_partitions
from adaptive_scheduler.runs.compat.learners.slurm_run import slurm_run

__all__ = ["slurm_partitions", "slurm_run"]
