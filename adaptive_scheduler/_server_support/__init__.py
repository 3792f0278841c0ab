"""Where adaptive-scheduler 2 has `slurm_run`: tests of other packages look there."""
