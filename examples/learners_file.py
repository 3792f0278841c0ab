"""The learners of the example: a peak that wanders as ``offset`` grows."""

from functools import partial

import adaptive


def h(x, offset=0):
    import time

    time.sleep(0.01)  # stands for hours of physics
    width = 0.01
    return x + width**2 / (width**2 + (x - offset) ** 2)


combos = adaptive.utils.named_product(offset=[i / 10 - 0.45 for i in range(10)])

learners, fnames = [], []
for combo in combos:
    learners.append(adaptive.Learner1D(partial(h, offset=combo["offset"]), bounds=(-1, 1)))
    fnames.append(f"data/{combo}")
