"""A notebook for the way of working with three files, as a script."""

import asyncio
import sys

from learners_file import fnames

from adaptive_scheduler import server_support


async def main():
    """Run both managers until all is done."""
    loop = asyncio.get_running_loop()
    server_support.create_empty_db("running.tinydb", fnames)
    url = server_support.get_allowed_url()
    jobs = server_support.manage_jobs(
        ["rank"], db_fname="running.tinydb", ioloop=loop, cores=3, interval=1, max_cores=3,
        run_script="run_learner.py", python_executable=sys.executable,
    )  # fmt: skip
    await asyncio.gather(server_support.manage_database(url, "running.tinydb"), jobs)


if __name__ == "__main__":
    asyncio.run(main())
