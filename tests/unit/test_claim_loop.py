"""The claim loop runs items of any kind, by the payload of that kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from adaptive_scheduler.client.claim_loop import ClaimLoop
from adaptive_scheduler.client.deadline import Deadline
from adaptive_scheduler.client.payload import ItemContext, ItemEnd, StopReason, Workers
from adaptive_scheduler.core.config import RunConfig, Timing
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Claim,
    Fail,
    Finish,
    Idle,
    Ok,
    Owner,
    Reply,
    Report,
    Request,
)

CONFIG = RunConfig("run", [Resources()], ["job"], "logs")
OVER = Idle(0.0, over=True)


class Link:
    """A link to a manager that gives the answers of a list."""

    timing = Timing()
    owner = Owner("1", 0, 0, "me")
    is_broken = False

    def __init__(self, *replies: Reply) -> None:
        self.requests: list[Request] = []
        self._replies = list(replies)

    def send(self, body: Request) -> int:
        self.requests.append(body)
        return len(self.requests)

    def wait(self, ticket: int, patience: float, gives_up: Callable[[], bool]) -> Reply:
        return self._replies.pop(0)

    def ask(self, body: Request, patience: float, gives_up: Callable[[], bool]) -> Reply:
        return self.wait(self.send(body), patience, gives_up)

    def await_lease(self, patience: float, gives_up: Callable[[], bool]) -> bool:
        return True

    def is_lease_good(self) -> bool:
        return True

    def report(self, report: Report) -> None:
        pass


class Counting:
    """A payload whose items end at once."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.cleaned = 0

    def open(self, workers: Workers) -> None:
        pass

    def prepare(self, assigned: Assigned, context: ItemContext) -> Counting:
        self.items.append(assigned.item)
        self.token = assigned.token
        return self

    def stop(self, reason: StopReason, patience: float) -> None:
        pass

    def run(self) -> ItemEnd:
        return ItemEnd(Finish(self.token))

    def clean_up(self, seconds: float) -> None:
        self.cleaned += 1


def run(payloads: dict[str, Any], *replies: Reply) -> list[Request]:
    link: Any = Link(*replies)
    loop = ClaimLoop(link, payloads, CONFIG, Deadline(lambda: None), structlog.get_logger())
    assert loop.run(lambda: None) == "nothing is left to do"
    return link.requests


def test_a_job_that_gets_no_more_work_says_why_it_leaves() -> None:
    link: Any = Link(Idle(0.0, True, "one too many"))
    loop = ClaimLoop(link, {}, CONFIG, Deadline(lambda: None), structlog.get_logger())
    assert loop.run(lambda: None) == "one too many"


def test_an_item_is_run_by_the_payload_of_its_kind() -> None:
    one, other = Counting(), Counting()
    requests = run(
        {"learner": one, "count": other},
        Assigned(3, 7, "a"), Assigned(4, 8, "b", kind="count"), OVER,
    )  # fmt: skip
    assert (one.items, other.items) == ([3], [4])
    assert (one.cleaned, other.cleaned) == (1, 1)
    assert requests == [Claim(), Finish(7, claims=True), Finish(8, claims=True)]


def test_an_item_of_an_unknown_kind_fails_with_a_sentence() -> None:
    requests = run({"learner": Counting()}, Assigned(3, 7, "a", kind="new"), Ok(), OVER)
    assert isinstance(requests[1], Fail)
    assert requests[1].token == 7
    assert "cannot run items of the kind 'new'" in requests[1].reason
    assert "Use one environment for both" in requests[1].reason
