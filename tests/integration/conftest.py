"""What several of these tests need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.accidents import Accidents


@pytest.fixture
def accidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accidents]:
    """A run that accidents befall; what is left of it is cancelled."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = Accidents(tmp_path)
    yield one
    if one.run.folder.config.exists():
        one.run.cancel()
        one.run.wait(60)
