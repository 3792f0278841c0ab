"""The learners of `import-rank`: each point records the memory of its rank."""

from functools import partial

import adaptive


def h(x, offset=0):
    import os
    from pathlib import Path

    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    Path(f"rank-{os.getpid()}.kb").write_text(line.split()[1])
    return x + offset


learners = [adaptive.Learner1D(partial(h, offset=n), bounds=(-1, 1)) for n in range(2)]
fnames = [f"data/{n}.pickle" for n in range(2)]
