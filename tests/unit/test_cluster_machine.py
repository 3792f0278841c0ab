"""A whole cluster of events against the real decisions.

What is promised: one owner per item, never more than `max_simultaneous_jobs`, DONE is for
ever, no job that works is cancelled, and left alone everything ends.
"""

from __future__ import annotations

import random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.unit.cluster import WEIGHTS, Cluster


class Machine(RuleBasedStateMachine):
    """Hypothesis looks for the shortest history that breaks a promise."""

    cluster: Cluster | None = None

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.cluster = Cluster(seed)

    @rule(event=st.sampled_from(sorted(WEIGHTS)), pick=st.integers(0, 255))
    def happen(self, event: str, pick: int) -> None:
        assert self.cluster is not None
        self.cluster.happen(event, pick)

    def teardown(self) -> None:
        if self.cluster is not None:
            self.cluster.leave_alone()


Machine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestMachine = Machine.TestCase


@pytest.mark.parametrize("block", range(4))
def test_random_histories(block: int) -> None:
    """Longer ones than hypothesis likes; a seed that fails replays its history."""
    for seed in range(block * 100, block * 100 + 100):
        replay(seed, events=100)


def replay(seed: int, events: int) -> Cluster:
    rng = random.Random(seed)
    cluster = Cluster(seed)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    for event in rng.choices(names, weights, k=events):
        try:
            cluster.happen(event, rng.randrange(256))
        except BaseException as error:
            error.add_note(f"seed {seed}, in {event}")
            raise
    try:
        cluster.leave_alone()
    except BaseException as error:
        error.add_note(f"seed {seed}, left alone")
        raise
    return cluster
