"""One evaluation of the campaign: fits a polynomial to base.dat by steepest descent.

    eval.py PARAMETERS.json           writes result.dat, and checkpoint.json after each epoch
    eval.py PARAMETERS.json --scale   writes scaled.dat, which a "cubic" model is trained on

It runs in a folder of its own, which has base.dat. If its allocation ends meanwhile it is begun again there,
and goes on with the last checkpoint. If it is started as several ranks, each begins elsewhere; the best counts.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

EPOCHS = 10
CHECKPOINT = Path("checkpoint.json")


def main(parameter_file, *mode):
    parameters = json.loads(Path(parameter_file).read_text())
    if mode == ("--scale",):
        write("scaled.dat", scaled(pairs("base.dat")))
        return
    ranks = int(os.environ.get("SLURM_NTASKS") or os.environ.get("PMI_SIZE") or 1)
    world = None
    if parameters["ranks"] > 1 and ranks > 1:
        from mpi4py import MPI

        world = MPI.COMM_WORLD
    loss = train(parameters, 0 if world is None else world.rank)
    losses = [loss] if world is None else world.gather(loss)
    if losses:  # rank 0
        if not all(map(math.isfinite, losses)):
            sys.exit(f"lr={parameters['lr']}: it diverges")
        write("result.dat", {"loss": min(losses), "ranks": len(losses), "begun": begun()})


def train(parameters, rank):
    data = pairs(parameters["data"])
    degree = {"line": 1, "cubic": 3}[parameters["model"]]
    state = {"epoch": 0, "begun": 0, "weights": [0.1 * rank] * (degree + 1)}
    if CHECKPOINT.exists() and rank == 0:
        state = json.loads(CHECKPOINT.read_text())
    state["begun"] += 1
    while state["epoch"] < EPOCHS:
        for _ in range(parameters["steps"]):
            state["weights"] = step(data, state["weights"], parameters["lr"])
        time.sleep(parameters["seconds"] / EPOCHS)  # as if it were work
        state["epoch"] += 1
        if rank == 0:
            write(CHECKPOINT, state)
    return mean(error(x, y, state["weights"]) ** 2 for x, y in data)


def step(data, weights, lr):
    errors = [(x, error(x, y, weights)) for x, y in data]
    slopes = [mean(2 * e * x**power for x, e in errors) for power in range(len(weights))]
    return [
        min(max(w - lr * slope, -1e100), 1e100) for w, slope in zip(weights, slopes, strict=True)
    ]


def error(x, y, weights):
    return sum(w * x**power for power, w in enumerate(weights)) - y


def mean(values):
    values = list(values)
    total = sum(values) / len(values)
    return total if abs(total) < 1e6 else math.inf


def pairs(path):
    text = Path(path).read_text()
    if text.startswith("["):
        return json.loads(text)
    return [tuple(map(float, line.split())) for line in text.splitlines()]


def scaled(data):
    most = max(abs(y) for _, y in data)
    return [(x, y / most) for x, y in data]


def begun():
    return json.loads(CHECKPOINT.read_text())["begun"]


def write(path, content):
    """Replace a file whole or not at all: whoever writes may be killed at any moment."""
    new = Path(f"{path}.new")
    new.write_text(json.dumps(content))
    new.replace(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
