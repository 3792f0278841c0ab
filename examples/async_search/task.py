"""One evaluation: trains something with the parameters that it is given, and writes down its loss.

Here it only computes what a training might give. `value` is what `task: task:value` in search.yaml would
call, without a shell.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path


def value(drop: float, batch_size: int) -> float:
    """The loss of a training with these parameters."""
    time.sleep(0.2)
    return (drop - 0.3) ** 2 + 0.1 * abs(math.log2(batch_size / 64))


if __name__ == "__main__":
    parameters, result = sys.argv[1:]
    Path(result).write_text(f"{value(**json.loads(parameters))}\n")
