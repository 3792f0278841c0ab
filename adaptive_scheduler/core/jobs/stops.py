"""What keeps a manager from submitting more jobs, and jobs from getting more work."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.nodes import NodeHealth


class JobStops:
    """What keeps a manager from submitting more jobs, and jobs from getting more work.

    Attributes
    ----------
    held : str
        Why nothing is submitted until a person resumes the run; "" while it is not held.
    being_cancelled : dict of str to float
        Jobs that a cancel was sent for, and when: they get no more work.
    barren_runs : int
        Times in a row that an item was begun and given back without one new point, or that a job
        ended in which tasks had begun, and none had ended.
    nodes : NodeHealth
        Which nodes are avoided.
    """

    def __init__(self) -> None:
        self.held = ""
        self.being_cancelled: dict[str, float] = {}
        self.barren_runs = 0
        self.nodes = NodeHealth()
