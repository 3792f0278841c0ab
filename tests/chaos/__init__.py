"""Chaos on a private Slurm: ``python -m tests.chaos --minutes 2 [--seed 7]``.

Two runs, one under mpiexec and one under srun, share four nodes; every few seconds a fault
that a seeded dice chooses. At the end ledgers, data, logs and the queue are compared.
"""
