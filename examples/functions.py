"""Calls of a function as tasks on this machine: ``python examples/functions.py``."""

from adaptive_scheduler import Executor, scheduler


def area(radius):
    return 3.14159 * radius**2


if __name__ == "__main__":
    with Executor(scheduler.Here(), folder="areas") as executor:
        for future in executor.as_completed(executor.submit_many(area, range(10))):
            print(future.args[0], future.result())
