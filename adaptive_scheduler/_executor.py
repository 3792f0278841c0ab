"""Where adaptive-scheduler 2 has its executor; programs import `TaskID` from here."""

from adaptive_scheduler.runs.compat.tasks.groups import TaskID
from adaptive_scheduler.runs.compat.tasks.slurm_executor import SlurmExecutor
from adaptive_scheduler.runs.compat.tasks.slurm_task import SlurmTask

__all__ = ["SlurmExecutor", "SlurmTask", "TaskID"]
