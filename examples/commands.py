"""A program with many parameters, as tasks in jobs of SLURM: ``python examples/commands.py``."""

from adaptive_scheduler import Command, Executor, float_file, scheduler

area = Command("expr {width} '*' {height} > area.txt", value=float_file("area.txt"))
grid = [{"width": w, "height": h} for w in range(1, 6) for h in range(1, 6)]

if __name__ == "__main__":
    jobs = scheduler.SLURM(cores=2, walltime="10m")
    with Executor(jobs, folder="rectangles", max_jobs=2) as executor:
        futures = executor.options(tag="grid", retries=1).submit_many(area, grid)
        for sides, future in zip(grid, futures, strict=True):
            print(sides, future.result())
