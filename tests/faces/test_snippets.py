"""Every program on a page of the documentation is executed by a test, and every command line is one that there is."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from adaptive_scheduler.cli import app
from tests import pages

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if path.parent.name != "option_examples"
}
_FENCE = re.compile(
    r"^(<!-- run -->\n)?```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)  # none is indented: a test below
#: Blocks that are run with the others of their page, in order, and the test that does it.
IN_ORDER = {
    "docs/one-learner.md": "tests/e2e/test_docs_of_tasks.py",
    "docs/placement.md": "tests/e2e/test_docs_of_placement.py",
    "docs/ranked.md": "tests/e2e/test_docs_of_ranking.py",
    "docs/remote.md": "tests/e2e/test_docs_of_tasks.py",
    "docs/runs.md": "tests/faces/test_docs_to_follow.py",
    "docs/search.md": "tests/e2e/test_search.py",
    "docs/tasks.md": "tests/e2e/test_docs_of_tasks.py",
}
#: Pages that are followed as a whole: files are written, commands run, outputs compared.
FOLLOWED = ("docs/options.md", "docs/tutorials/")
#: Other blocks by page and first line, and the test that runs them.
ELSEWHERE = {
    ("README.md", "from adaptive_scheduler import Command, Executor, float_file, scheduler"):
        "tests/e2e/test_docs_of_tasks.py",
    ("docs/low-level.md", "import adaptive"): "tests/e2e/test_three_files.py",
    ("docs/low-level.md", "# runs on the nodes as: mpiexec -n 32 python -m mpi4py.futures run_learner.py"):
        "tests/e2e/test_three_files.py",
    ("docs/low-level.md", "import asyncio, sys"): "tests/e2e/test_three_files.py",
    ("docs/sweep.md", "template:"): "tests/e2e/test_docs_of_sweep.py",
    ("docs/ranked.md", "task_queues:"): "tests/unit/test_emews_file.py",
    ("docs/search.md", "space:"): "tests/e2e/test_search.py",
}  # fmt: skip
#: Kinds of blocks that are no programs: text, and what commands print.
SHOWN = {"text", "json"}

_LOCAL = "scheduler.LocalScheduler(cores=1, max_cores=2, executor_type='sequential')"
_TASKS = "from adaptive_scheduler import *\nfrom adaptive_scheduler import scheduler\n"
_LEARNERS = (
    "import adaptive\nfrom adaptive_scheduler import *\nfrom adaptive_scheduler import scheduler\n"
    "def wave(x): return x**2\nlearners = [adaptive.Learner1D(wave, bounds=(-1, 1))]\nfnames = ['data/one']\n"
)
_END = "\nrun_manager.start()\nrun_manager.wait()\nassert str(run_manager.status()) == 'finished'\n"


@dataclass(frozen=True)
class Way:
    """How a block is run that does not stand alone.

    Attributes
    ----------
    before, after : str
        Programs: what the page has said before; a check.
    instead : mapping
        What of the block is replaced: a cluster by this machine, large by small.
    """

    before: str = ""
    after: str = ""
    instead: tuple[tuple[str, str], ...] = ()


#: By page and first line. A block that is not here is run as it stands.
WAYS = {
    ("README.md", "from functools import partial"): Way(
        instead=(
            ('SLURM(cores=10, memory="4GB", walltime="12h")', _LOCAL.partition(".")[2]),
            ("range(100)", "range(2)"),
            ("goal=200", "goal=20, interval='1s'"),
        ),
        after="\nrun_manager.wait()\nassert str(run_manager.status()) == 'finished'\n",
    ),
    ("docs/campaign.md", "while waiting or issued < 500:"): Way(
        before=_TASKS
        + "def loss(x): return x\noptimizer = OptimizerLearner(loss, {'x': (0, 9)})\n"
        + "executor = Executor(scheduler.Here(slots=1), folder='run')\nwaiting, issued, told = {}, 480, []\n"
        + "def submit(point): return executor.submit(loss, point[1][0])\n"
        + "def tell(point, future): told.append(future.result())\n",
        after="\nassert len(told) == 20\nexecutor.shutdown()\n",
    ),
    ("docs/campaign.md", 'files = ["eval.py", "base.dat"]'): Way(
        before=_TASKS + "executor = Executor(scheduler.Here(slots=2), folder='run')\n",
        instead=(('nodes=2, ranks_per_node=4, gpus_per_rank=1, walltime="20m"', 'walltime="20m"'),
                 ("ranks=8", "ranks=1")),
        after="\nassert isinstance(future.result(), float)\nexecutor.shutdown()\n",
    ),
    ("docs/executors.md", "import adaptive"): Way(
        before="import numpy\nfrom adaptive_scheduler import *\nfrom adaptive_scheduler import scheduler\n"
        f"numpy.save('table.npy', [[0, 1], [0, 1]])\nscheduler = {_LOCAL}\n",
        instead=(("goal=0.01", "goal=20, interval='1s'"),),
        after=_END,
    ),
    ("docs/ranked.md", "from adaptive_scheduler import emews"): Way(
        before="import contextlib\nfrom pathlib import Path\nimport re\nfrom adaptive_scheduler import RankingModel\n"
        f"page = Path({str(ROOT / 'docs' / 'ranked.md')!r}).read_text()\n"
        "file = re.search(r'```yaml\\n(.*?)```', page, re.S)[1].replace('slurm', 'local')\n"
        "file = re.sub('CFG_(PROJECT|QUEUE).*', '', file)\n"
        "Path('config.yaml').write_text(file.replace('36', '1'))\n"
        "def simulate(x): return x\npoints, numbers, values = [1, 2, 3], [0, 1], [0.5, 0.1]\n"
        "model = RankingModel([[1.0], [2.0], [3.0]], surrogate='random-forest')\n",
        after="\nassert [f.result() for f in futures] == points\nassert len(scores) == 3\n",
    ),
    ("docs/low-level.md", "client_support.run(url, learners, fnames, goal=goal)"): Way(
        before="import asyncio, sys\nfrom pathlib import Path\nimport re\n"
        "from adaptive_scheduler import client_support, scheduler, server_support\n"
        f"page = Path({str(ROOT / 'docs' / 'low-level.md')!r}).read_text()\n"
        "for name, text in re.findall(r'```python title=\"(.*?\\.py)\"\\n(.*?)```', page, re.S):\n"
        "    Path(name).write_text(text)\n"
        "line = 'run_learner.py', '__main__'\n"
        "script = Path('run_learner.py').read_text().partition('from mpi4py.futures')\n"
        "rest = script[2].partition('\\n')[2]\n"
        "rest = rest.partition('if __name__ == \"__main__\":\\n')\n"
        "text = '''\n",
        after="'''\nPath('run_learner.py').write_text(script[0] + rest[0] + rest[1] + '    ' + text.strip() + '\\n')\n"
        "from learners_file import learners, fnames\n"
        "async def end():\n"
        "    server_support.create_empty_db('running.tinydb', fnames)\n"
        "    url = server_support.get_allowed_url()\n"
        f"    here = {_LOCAL}\n"
        "    jobs = server_support.manage_jobs(['one', 'two'], db_fname='running.tinydb', interval=1,\n"
        "        run_script='run_learner.py', scheduler=here)\n"
        "    await asyncio.gather(server_support.manage_database(url, 'running.tinydb'), jobs)\n"
        "asyncio.run(end())\n"
        "assert {row['phase'] for row in server_support.get_database('running.tinydb')} == {'done'}\n",
    ),
    ("docs/placement.md", "TaskResources(nodes=1, ranks_per_node=1, threads_per_rank=1, gpus_per_rank=0, memory=None, walltime=None)"):
        Way(before=_TASKS),
    ("docs/slurm.md", "scheduler = adaptive_scheduler.scheduler.SLURM(cores=64, mpiexec_executable=\"srun --mpi=pmi2\")"):
        Way(before="import adaptive_scheduler\n", after="\nassert 'srun --mpi=pmi2' in scheduler.job_script()\n"),
    ("docs/sweep.md", "from adaptive_scheduler import sweeps"): Way(
        before="import subprocess\nfrom pathlib import Path\n"
        "Path('params.yaml').write_text('''template: {train: \"echo loss=[x] error={x}\"}\n"
        "resource: [\"\"]\n---\nx: [1, 2]\n'''.replace('[x]', '{x}'))\n"
        "subprocess.run(['adaptive-scheduler', 'sweep'], check=True)\n",
        after="\nassert sorted(table['loss'].astype(int)) == [1, 2]\n",
    ),
    ("docs/tasks.md", 'with Executor(scheduler.SLURM(cores=32, walltime="1h"), folder="areas", max_jobs=4) as executor:'):
        Way(before=_TASKS, instead=(('SLURM(cores=32, walltime="1h")', _LOCAL.partition(".")[2]),)),
    ("docs/tasks.md", 'executor.add_pool(scheduler.SLURM(cores=8, gpus=2, walltime="4h"), jobs=2, name="gpu", accepts=["train"])'):
        Way(before=_TASKS + f"executor = Executor({_LOCAL}, folder='run')\n",
            instead=(('SLURM(cores=8, gpus=2, walltime="4h")', _LOCAL.partition(".")[2]),),
            after="\nexecutor.shutdown()\n"),
    ("docs/tasks.md", 'executor.add_pool(scheduler.SLURM(nodes=4, cores=64, walltime="4h"), name="wide")'):
        Way(before=_TASKS + f"executor = Executor({_LOCAL}, folder='run')\n",
            instead=(("SLURM(nodes=4, cores=64,", "LocalScheduler(cores=2, max_cores=2,"),),
            after="\nprint(executor.submit(abs, -1).result())\nexecutor.shutdown()\n"),
    ("docs/tutorials/functions.md", 'with Executor(scheduler.SLURM(cores=32, walltime="1h"), folder="areas", max_jobs=4) as executor:'):
        Way(before=_TASKS, instead=(('SLURM(cores=32, walltime="1h")', _LOCAL.partition(".")[2]),)),
    ("docs/tutorials/ranked.md", 'with Executor(scheduler.SLURM(cores=32, walltime="1h"), folder="structures", max_jobs=4) as executor:'):
        Way(before=_TASKS, instead=(('SLURM(cores=32, walltime="1h")', _LOCAL.partition(".")[2]),)),
    ("docs/tutorials/learners.md", 'where = scheduler.SLURM(cores=10, memory="4GB", walltime="12h", partition="compute")'):
        Way(before=_TASKS, after="\nassert '--partition=compute' in where.job_script()\n"),
}  # fmt: skip


@dataclass(frozen=True)
class Snippet:
    """A block of a page."""

    page: str
    kind: str
    title: str
    text: str
    in_order: bool

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.page}: {self.first[:60]}"


def snippets() -> list[Snippet]:
    found = []
    for name, path in PAGES.items():
        for mark, info, text in _FENCE.findall(path.read_text()):
            kind, _, more = info.partition(" ")
            title = more.removeprefix('title="').removesuffix('"')
            found.append(Snippet(name, kind, title, text, bool(mark)))
    return found


ALL = snippets()
PROGRAMS = [one for one in ALL if one.kind in ("python", "py")]
ALONE = [
    one
    for one in PROGRAMS
    if not one.in_order
    and (one.page, one.first) not in ELSEWHERE
    and not (one.page.startswith(FOLLOWED) and one.kind == "python")
]


def test_each_block_is_of_a_kind_that_is_executed_or_is_output() -> None:
    kinds = {one.kind for one in ALL}
    assert kinds <= {"python", "py", "yaml", "bash", "sh", ""} | SHOWN
    indented = [
        name for name, path in PAGES.items() if re.search(r"^ +```", path.read_text(), re.M)
    ]
    assert indented == [], "blocks that this file does not see"


def test_what_is_said_to_be_run_elsewhere_is() -> None:
    marked = {one.page for one in PROGRAMS if one.in_order}
    assert marked == IN_ORDER.keys()
    for (page, _), test in [*ELSEWHERE.items(), *(((p, ""), t) for p, t in IN_ORDER.items())]:
        assert Path(page).name in (ROOT / test).read_text(), f"{test} does not read {page}"
    there = {(one.page, one.first) for one in ALL}
    assert ELSEWHERE.keys() | WAYS.keys() <= there, "no such block any more"


def test_each_file_of_yaml_is_read_by_a_test() -> None:
    part = {"resource: {gpus_per_node: 4, gpus_per_task: 1, cores_per_task: 8}",
            "resource: {nodes: 4, nodes_per_task: 2, ranks_per_node: 4, cores_per_task: 8, gpus_per_node: 4, gpus_per_task: 4}"}  # fmt: skip
    files = [one for one in ALL if one.kind == "yaml" and not one.page.startswith(FOLLOWED)]
    assert [
        str(one)
        for one in files
        if (one.page, one.first) not in ELSEWHERE and one.first not in part
    ] == []


@pytest.mark.parametrize("snippet", ALONE, ids=str)
def test_a_program_runs(snippet: Snippet, tmp_path: Path) -> None:
    way = WAYS.get((snippet.page, snippet.first), Way())
    if "ranked" in snippet.page:
        pytest.importorskip("sklearn")
    code = snippet.text
    for old, new in way.instead:
        assert old in code
        code = code.replace(old, new)
    folder = tmp_path / "a reader's folder"
    folder.mkdir()
    for name in ("eval.py", "base.dat") if snippet.page.endswith("campaign.md") else ():
        shutil.copy(ROOT / "examples" / "campaign" / name, folder)
    (folder / "program.py").write_text(way.before + code + way.after)
    pages.run([sys.executable, "program.py"], folder)


def command_lines() -> list[tuple[str, str]]:
    """Each line of a block that calls the program of this package, with its page."""
    found = []
    for one in ALL:
        if one.kind not in ("", "sh", "bash"):
            continue
        for line in one.text.replace("\\\n", " ").splitlines():
            typed = re.match(r"(?:\$ )?(adaptive-scheduler .*)", line)
            if typed:
                found.append((one.page, re.split(r" {3,}| +#|\|", typed[1])[0].strip()))
    return found


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_a_command_line_is_understood(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real command line, up to what would be done."""
    words = shlex.split(line)[1:]
    command: Any = get_command(app)
    monkeypatch.chdir(tmp_path)
    for name in ("learners_file.py", "search.yaml", "params.yaml"):
        Path(name).touch()
    names = []
    while words and words[0] in getattr(command, "commands", ()):
        names.append(words[0])
        command = command.commands[words.pop(0)]
    assert names, f"{page}: no such command: {line}"
    command.make_context(names[-1], words)
