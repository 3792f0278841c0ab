"""The function that is looked at: Ackley's, which takes as long as we like."""

import math
import random
import time


def ackley(point, runtime=0.0, runtime_var=0.0):
    """Ackley's function of a point of any dimension; smallest, 0, in the origin.

    It takes a lognormal time, of this mean and standard deviation in seconds.
    """
    if runtime > 0:
        sigma = math.sqrt(math.log(1 + (runtime_var / runtime) ** 2))
        time.sleep(random.lognormvariate(math.log(runtime) - sigma**2 / 2, sigma))
    distance = math.sqrt(sum(x**2 for x in point) / len(point))
    waves = sum(math.cos(2 * math.pi * x) for x in point) / len(point)
    return 20 + math.e - 20 * math.exp(-0.2 * distance) - math.exp(waves)
