"""Values of a sweep's parameters, from YAML through templates to a real bash: as they were."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import yaml

from adaptive_scheduler.core.sweeps.sweep_file import check_file
from adaptive_scheduler.core.sweeps.tasks import Selection, tasks_of
from adaptive_scheduler.core.sweeps.yaml_text import read_documents

VALUES = 10_000
PIECES = (
    *" \t\n\r\"'`$\\!*?[]{}()<>|&;#~=%^,:@-_+./é☃中😀\x01\x1b\x7f\u0085\u2028",
    "$(x)", "${x}", "{x}", "[x]", "{_output}", "\\[x]", "--", "a", "B", "0", "'\"'", "\\\\", "$'\\n'",
    "a b", "~/", "*.py", "!!", "&&", "#c", "1e5", "yes", "null", "- ", ": ",
)  # fmt: skip


def odd_texts() -> list[str]:
    draw = random.Random(13)
    drawn = ["", " ", "'", "-n", "-e \\n", "\n", "\\", *PIECES]
    while len(set(drawn)) < VALUES:
        drawn.append("".join(draw.choices(PIECES, k=draw.randint(1, 12))))
    return list(dict.fromkeys(drawn))


def test_ten_thousand_odd_values_come_out_of_bash_as_they_were(tmp_path: Path) -> None:
    values = odd_texts()
    first = {"template": {"a": "printf '%s\\0' [x]", "b": "printf '%s\\0' {x}"}}
    text = yaml.safe_dump_all([first, {"x": values}])  # escapes what a line of YAML cannot have
    tasks = tasks_of(
        check_file(read_documents(text, "params.yaml"), "params.yaml"), Selection(), lambda _: False
    )
    assert [one.parameters["x"] for one in tasks] == values
    assert len({one.name for one in tasks}) == len(values)
    script = tmp_path / "script"
    lines = [command for one in tasks for command in one.commands.values()]
    script.write_text("\n".join(lines), newline="")
    done = subprocess.run(["/bin/bash", str(script)], capture_output=True, check=True)
    words = [word for one in values for word in ("--x", one, one)]
    assert done.stdout.decode().split("\0") == [*words, ""]
