"""A small batch system of processes: slots, a queue, walltime and signals.

``python -m adaptive_scheduler.localbatch submit|queue|cancel|requeue|history|time-left|serve``

Everything it knows is in one folder (`state.Folder`): an SQLite database of
the jobs, and one locked file per running job. Commands change the database
and wake the server; the server starts, watches and ends the processes. The
server may be killed at any instant: jobs run on, and the next command starts
another server, which finds them by their locks. A job is over exactly when
nobody holds the lock of its file, so no pid is ever trusted to be the same.

Modules, from the ground up: `rules` decides (pure), `store` remembers,
`processes` touches the operating system, `server` joins them, `commands` is
what people and `schedulers.local` type. Linux only: it reads ``/proc``.
"""
