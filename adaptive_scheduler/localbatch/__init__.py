"""A small batch system of processes: slots, a queue, walltime and signals.

``python -m adaptive_scheduler.localbatch submit|queue|cancel|requeue|history|time-left|serve``

Its whole state is in one folder (`folder.Folder`): an SQLite database of the jobs, and one locked
file per running job. Commands change the database and wake the server; the server starts, watches
and ends the processes. The server may be killed at any time: jobs go on, and the next command starts
another server, which finds them by their locks. A job has ended when nothing holds the lock of its
file, so a pid that was reused is never mistaken for a job.

Modules: `rules` decides (pure functions), `store` is the database, `processes` uses the operating
system, `server` joins them, and `commands` is the command line for people and `schedulers.local`.
Linux only, because it reads ``/proc``.
"""
