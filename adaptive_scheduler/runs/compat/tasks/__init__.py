"""`SlurmExecutor`: the executor of adaptive-scheduler 2, on `Executor`."""
