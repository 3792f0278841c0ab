"""RUN: the database manager, the job manager, and the process that holds both."""
