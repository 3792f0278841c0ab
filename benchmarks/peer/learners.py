"""The peer's `learners`: pickles a tenth of them, one file each; prints seconds scaled to all."""

import sys
import tempfile
import time
from pathlib import Path

import adaptive

from adaptive_scheduler.utils import cloudpickle_learners


def peak(x):
    return x + 0.01**2 / (0.01**2 + (x - 0.3) ** 2)


N = int(sys.argv[1])
few = N // 10
learners = [adaptive.Learner1D(peak, (-1, 1 + n)) for n in range(few)]
with tempfile.TemporaryDirectory() as home:
    fnames = [str(Path(home) / f"data/learner_{n:06d}.pickle") for n in range(few)]
    begin = time.perf_counter()
    cloudpickle_learners(learners, fnames, with_progress_bar=False)
    print(N / few * (time.perf_counter() - begin))
