"""The peer's `assign`: choose, submit, start, stop, by its own database manager; prints cycles/s.

One client over plain TCP, as its jobs do it; nothing is synced to the disk.
"""

import asyncio
import sys
import tempfile
import threading
import time
from pathlib import Path

import zmq
from adaptive_scheduler._server_support.database_manager import DatabaseManager

from adaptive_scheduler.server_support import get_allowed_url
from adaptive_scheduler.utils import _deserialize, _serialize

LEARNERS = int(sys.argv[1])
SECONDS = 8.0


def ask(socket, *message):
    socket.send_serialized(message, _serialize)
    return socket.recv_serialized(_deserialize)


def client(url, manager, loop, rates):
    """Run cycles for SECONDS, with what the peer's job manager does before a submit in its loop."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.connect(url)
        begin, done = time.perf_counter(), 0
        while time.perf_counter() - begin < SECONDS:
            name = f"job-{done}"

            async def submit(name=name):
                index, _ = manager._choose_fname()
                manager._confirm_submitted(index, name)

            asyncio.run_coroutine_threadsafe(submit(), loop).result()
            fname = ask(socket, "start", str(done), "log", name)
            assert isinstance(fname, str), fname
            ask(socket, "stop", fname)
            done += 1
        rates.append(done / (time.perf_counter() - begin))


async def main(folder):
    fnames = [f"data/learner_{n:06d}.pickle" for n in range(LEARNERS)]
    manager = DatabaseManager(get_allowed_url(), None, folder / "db.json", [], fnames)
    manager.scheduler = Scheduler()
    manager.create_empty_db()
    task = asyncio.create_task(manager._manage())
    rates = []
    thread = threading.Thread(
        target=client, args=(manager.url, manager, asyncio.get_running_loop(), rates)
    )
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.05)
    task.cancel()
    print(rates[0])


class Scheduler:
    """The part of a scheduler that its database manager uses."""

    _JOB_ID_VARIABLE = "%J"

    def sanatize_job_id(self, job_id):
        return job_id

    def output_fnames(self, name):
        return [Path(f"{name}-%J.out")]

    def log_fname(self, name):
        return Path(f"{name}.log")


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
