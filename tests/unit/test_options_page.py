"""The page of all options is made from docstrings and signatures, and each option is described."""

from __future__ import annotations

import re

from adaptive_scheduler.core.options.runner_kwargs import RUNNER_KWARGS
from docs import options


def test_the_page_of_options_is_up_to_date() -> None:
    assert options.DOCUMENT.read_text() == options.page(), "run: python -m docs.options"


def test_each_option_has_a_description() -> None:
    silent = [
        f"{part.title}: {option.name}"
        for part in options.PARTS
        for option in options.options(part)
        if len(option.what) < 8
    ]
    silent += [
        f"{name}: {option.name}"
        for name, command in options.commands()
        for option in options.command_options(command)
        if len(option.what) < 8
    ]
    assert silent == []
    assert set(options.RUNNER) == set(RUNNER_KWARGS)


def test_the_page_has_all_that_users_name() -> None:
    text = options.DOCUMENT.read_text()
    for asked in ("runner_kwargs", "dependencies", "check_goal_on_start", "gpus", "exclusive"):
        assert f"| `{asked}` |" in text
    heads = re.findall(r"^### adaptive-scheduler (.*)$", text, re.MULTILINE)
    assert heads == [name for name, _ in options.commands()]
    assert {"run", "status", "pool add", "help"} <= set(heads)
