from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

import adaptive_scheduler.scheduler
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.schedulers import registry
from adaptive_scheduler.schedulers.local import LocalScheduler


def which(*programs: str):
    return lambda program: f"/usr/bin/{program}" if program in programs else None


def add(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    points = [EntryPoint(name, value, registry.GROUP)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)


def test_the_built_in_schedulers_are_found_by_name() -> None:
    assert registry.scheduler_class("local") is LocalScheduler
    for name in ("slurm", "pbs", "local"):
        assert registry.scheduler_class(name).name == name


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no scheduler 'lsf'. Known: slurm, pbs, local"):
        registry.scheduler_class("lsf")


def test_another_package_adds_a_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, "mine", "adaptive_scheduler.schedulers.local:LocalScheduler")
    assert registry.scheduler_class("mine") is LocalScheduler
    assert registry.known_names() == ["slurm", "pbs", "local", "mine"]
    assert registry.detect({"ADAPTIVE_SCHEDULER_SYSTEM": "mine"}, which()) == "mine"


def test_another_package_cannot_replace_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, "local", "json:dumps")
    assert registry.scheduler_class("local") is LocalScheduler


@pytest.mark.parametrize(
    ("value", "words"),
    [("no_such_module:X", "cannot be imported"), ("json:dumps", "not a subclass of Scheduler")],
)
def test_a_broken_entry_point_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    add(monkeypatch, "mine", value)
    with pytest.raises(InputError, match=f"mine.*{words}"):
        registry.scheduler_class("mine")


def test_detect_looks_for_the_programs() -> None:
    assert registry.detect({}, which("sbatch")) == "slurm"
    assert registry.detect({}, which("qsub")) == "pbs"


def test_detect_asks_when_both_are_there() -> None:
    with pytest.raises(InputError, match="Choose one"):
        registry.detect({}, which("sbatch", "qsub"))
    told = {"ADAPTIVE_SCHEDULER_SYSTEM": "pbs"}
    assert registry.detect(told, which("sbatch", "qsub")) == "pbs"


def test_detect_offers_the_local_scheduler_when_there_is_none() -> None:
    with pytest.raises(InputError, match="LocalScheduler"):
        registry.detect({}, which())
    assert registry.detect({"ADAPTIVE_SCHEDULER_SYSTEM": "local"}, which()) == "local"


def test_detect_refuses_an_unknown_system() -> None:
    with pytest.raises(InputError, match=r"ADAPTIVE_SCHEDULER_SYSTEM='lsf'.*Known: slurm"):
        registry.detect({"ADAPTIVE_SCHEDULER_SYSTEM": "lsf"}, which("sbatch"))


def test_the_public_module_has_its_names() -> None:
    public = adaptive_scheduler.scheduler
    assert issubclass(public.LocalScheduler, LocalScheduler)
    classes = ["Here", "LocalScheduler", "PBS", "SLURM"]
    assert {*classes, "BaseScheduler", "DefaultScheduler"} <= set(dir(public))
    for name in classes:
        assert getattr(public, name).__name__ == name
    for name in ("slurm", "pbs"):
        assert issubclass(getattr(public, name.upper()), registry.scheduler_class(name))
    with pytest.raises(AttributeError, match="LSF"):
        _ = public.LSF
