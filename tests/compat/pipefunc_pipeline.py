"""A pipeline of pipefunc whose functions run as tasks in jobs of Slurm; run in an environment with pipefunc."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pipefunc import Pipeline, pipefunc

from adaptive_scheduler import SlurmExecutor


@pipefunc(output_name="y", mapspec="x[i] -> y[i]", resources={"cpus": 1})
def double(x: int) -> int:
    return 2 * x


@pipefunc(
    output_name="z",
    mapspec="y[i] -> z[i]",
    resources=lambda kw: {"cpus": kw["y"] // 4 + 1},
    resources_scope="element",
)
def add_one(y: int) -> int:
    return y + 1


@pipefunc(output_name="total")
def total(z) -> int:
    return sum(z)


async def main() -> None:
    pipeline = Pipeline([double, add_one, total])
    executor = SlurmExecutor(name="pipe", folder=Path("tasks"), job_manager_interval=1)
    runner = pipeline.map_async(
        {"x": range(4)}, run_folder="a run", executor=executor, show_progress=False
    )
    result = await runner.task
    print("total", result["total"].output)


if __name__ == "__main__":
    asyncio.run(main())
