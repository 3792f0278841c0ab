"""The folder that a table shows once."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from adaptive_scheduler.runs.views.render import common_folder

NAMES = st.lists(st.sampled_from(["a", "b", "a-b", "a.b", "b-", "ä", " "]), min_size=1, max_size=4)


@given(st.lists(NAMES, max_size=6), st.booleans())
def test_it_is_what_all_have_in_common(names: list[list[str]], one_is_relative: bool) -> None:
    paths = ["/" + "/".join(name) for name in names]
    paths += ["a/b"] if one_is_relative else []
    rows: Any = [SimpleNamespace(fname=one) for one in paths]
    folders = [str(Path(one).parent) for one in paths]
    if not paths or one_is_relative:
        assert common_folder(rows) == ""
    else:
        assert common_folder(rows) == os.path.commonpath(folders).rstrip("/") + "/"
