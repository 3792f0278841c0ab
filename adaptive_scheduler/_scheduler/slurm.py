"""Where adaptive-scheduler 2 has `slurm_partitions`."""

from adaptive_scheduler.runs.compat.batch.partitions import slurm_partitions

__all__ = ["slurm_partitions"]
