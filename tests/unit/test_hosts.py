"""Asking for the cluster's hosts before a submit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import CommandMissingError
from adaptive_scheduler.io.system import hosts
from adaptive_scheduler.io.system.hosts import Hosts
from adaptive_scheduler.schedulers.pbs import PBS
from adaptive_scheduler.schedulers.slurm import SLURM

ONE = '{"nodes": {"n1": {"state": "free", "resources_available": {"ncpus": 8}}}}'


class Answers:
    """Gives these texts one after the other; None: there is no such program."""

    def __init__(self, *texts: str | None) -> None:
        self.texts = list(texts)

    def __call__(self, argv: Sequence[str]) -> CommandResult:
        text = self.texts.pop(0)
        if text is None:
            raise CommandMissingError("no pbsnodes")
        return CommandResult(tuple(argv), 0 if text else 162, text, "cannot connect")


def test_a_list_of_hosts_is_kept_for_a_while() -> None:
    answers = Answers(ONE, "")
    known = Hosts(PBS(4), answers)
    assert [host.cores for host in known.of(Resources(cores=4))] == [8]
    assert [host.cores for host in known.of(Resources(cores=5))] == [8]
    assert len(answers.texts) == 1


def test_without_an_answer_the_previous_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "KEPT", -1.0)
    monkeypatch.setattr(hosts, "AGAIN", -1.0)
    known = Hosts(PBS(4), Answers("", None, ONE, "", None))
    found = [len(known.of(Resources(cores=4))) for _ in range(5)]
    assert found == [0, 0, 1, 1, 1]


def test_a_slow_server_without_an_answer_is_not_asked_at_each_submit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(hosts.time, "monotonic", lambda: now[0])
    asked: list[float] = []

    def hang(argv: Sequence[str]) -> CommandResult:
        asked.append(now[0])
        now[0] += 60.0
        return CommandResult(tuple(argv), -1, "", "no answer in 60 s")

    known = Hosts(PBS(4), hang)
    for _ in range(5):
        assert known.of(Resources(cores=4)) == ()
        now[0] += 5.0
    assert asked == [0.0]


def test_hosts_are_not_asked_for_if_a_request_does_not_need_them() -> None:
    assert Hosts(PBS(4), Answers()).of(Resources(cores=4, nodes=2)) == ()
    assert Hosts(SLURM(4), Answers()).of(Resources(cores=4)) == ()
