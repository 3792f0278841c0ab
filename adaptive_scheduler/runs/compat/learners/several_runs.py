"""`MultiRunManager`: several runs by their names."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.options.checks import count
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    EnvironmentMismatchError,
    InputError,
)
from adaptive_scheduler.runs.compat.learners.shared_limit import SharedLimit

if TYPE_CHECKING:
    from adaptive_scheduler.runs.run_manager import RunManager


class MultiRunManager:
    """Several runs, which are shown, started and cancelled together.

    Parameters
    ----------
    run_managers : list of RunManager, optional
    max_jobs : int, optional
        Most jobs of all of them together, in equal parts; what one run does not need another may use, up to the
        limit of its own. A run for which there is no room is started when there is. That goes on while this process
        lives; what it has set stays. Default: each run has its own limit.

    Attributes
    ----------
    run_managers : dict
        By their names.
    """

    def __init__(
        self, run_managers: Iterable[RunManager] | None = None, *, max_jobs: int | None = None
    ) -> None:
        self.run_managers: dict[str, Any] = {}
        self.max_jobs = None if max_jobs is None else count(1)(max_jobs, "max_jobs")
        self._shared = None if self.max_jobs is None else SharedLimit(self.max_jobs)
        for one in run_managers or ():
            self.add_run_manager(one)

    def add_run_manager(
        self, run_manager: Any, *, start: bool = False, wait_for: str | None = None
    ) -> None:
        """Add a run.

        Parameters
        ----------
        run_manager : RunManager
        start : bool
            Start it now.
        wait_for : str, optional
            With `start`: when the run of this name has ended.

        Raises
        ------
        ValueError
            There is a run of its name, or `wait_for` is given without `start`.
        InputError
            It is a run of tasks, and there is a limit of all jobs.
        KeyError
            There is no run `wait_for`.
        """
        name = run_manager.job_name
        if name in self.run_managers:
            raise ValueError(f"There is a run called {name!r} already. Give another name=...")
        if wait_for is not None and not start:
            raise ValueError("wait_for= needs start=True.")
        before = self._named(wait_for) if wait_for is not None else None
        if self._shared is not None and not hasattr(run_manager, "start_with"):
            raise InputError(
                f"{name!r} is a run of tasks: max_jobs={self.max_jobs} of all jobs together is for runs of learners. "
                "Give max_simultaneous_jobs= to its SlurmExecutor, and leave max_jobs= out here."
            )
        self.run_managers[name] = run_manager
        if start:
            self._start([run_manager], before)

    def _start(self, runs: list[Any], before: Any = None) -> None:
        """Start runs now, or as there is room in the limit of all."""
        if self._shared is not None:
            for one in runs:
                self._shared.add(one, before)
            self._shared.begin()
            return
        for one in runs:
            if before is None:
                one.start()
            else:
                one.start(wait_for=before)

    def remove_run_manager(self, name: str) -> None:
        """Cancel a run, and forget it.

        Raises
        ------
        KeyError
            There is none of this name.
        """
        found = self._named(name)
        del self.run_managers[name]
        if self._shared is not None:
            self._shared.forget(found)
        if found.is_started:
            found.cancel()

    def _named(self, name: str) -> Any:
        if name not in self.run_managers:
            known = ", ".join(map(repr, self.run_managers)) or "none"
            raise KeyError(f"There is no run called {name!r}. There are: {known}.")
        return self.run_managers[name]

    def start_all(self) -> None:
        """Start those that were not started in this process, and carry on those whose manager has died."""
        shares = self._shared is not None
        self._start([one for one in self.run_managers.values() if shares or one.awaits_start])

    def cancel_all(self) -> None:
        """Cancel all that were started; the error of one does not keep the others from it."""
        faults = []
        if self._shared is not None:
            for one in self.run_managers.values():
                self._shared.forget(one)
        for name, one in self.run_managers.items():
            try:
                if one.is_started:
                    one.cancel()
            except AdaptiveSchedulerError as error:
                faults.append(f"{name}: {error}")
        if faults:
            raise AdaptiveSchedulerError("; ".join(faults))

    def __repr__(self) -> str:
        return "\n".join(self._lines()) or "MultiRunManager without runs"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def _lines(self) -> list[str]:
        return [f"{name}: {one.status()!r}" for name, one in self.run_managers.items()]

    def info(self) -> Any:
        """Return a widget with a tab for each run, and a button that looks at all of them again.

        Without ipywidgets it is a text.
        """
        from adaptive_scheduler.runs.compat.widgets.run_panel import runs_panel

        try:
            return runs_panel(self.run_managers)
        except EnvironmentMismatchError:
            return repr(self)

    def display(self) -> None:
        """Show `info` in a notebook; in a terminal print it."""
        try:
            from IPython.display import display
        except ImportError:
            print(self)
        else:
            display(self.info())
