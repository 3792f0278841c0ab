"""What a search prints: a line for each thing that happens."""

from __future__ import annotations

import threading
from typing import Any

from adaptive_scheduler.commandline.output.terminal import print_line
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.runs.search.search import SearchEvent

#: Seconds between two looks which tasks have begun.
PAUSE = 0.25


class SearchLines:
    """Prints the events of a search, and the process of each task when it is known."""

    def __init__(self) -> None:
        self._unseen: dict[int, SearchEvent] = {}
        self._known: set[int] = set()
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="search's lines", daemon=True)

    def __enter__(self) -> SearchLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def __call__(self, event: SearchEvent) -> None:
        """Print what has happened."""
        if event.kind == "known":  # it has begun, or even ended, before this process
            self._known.add(event.number)
            return
        if event.kind == "issued":
            with self._lock:
                self._unseen[event.number] = event
            self._print(f"tasks_running: {event.out}")
            return
        self._print_start(event)
        text = event.failure.reason if event.failure is not None else f"{event.value:.12g}"
        self._print(f"{event.kind}: {event.number:04d} {_given(event.parameters)}: {text}")
        if event.number not in self._known:
            self._print(f"tasks_running: {event.out}")

    def _print(self, line: str) -> None:
        with self._lock:
            print_line(line)

    def _watch(self) -> None:
        while not self._is_over.wait(PAUSE):
            with self._lock:
                waiting = list(self._unseen.values())
            for event in waiting:
                self._print_start(event)

    def _print_start(self, event: SearchEvent) -> None:
        """Print the process of a task, once, as soon as it is known."""
        try:
            pid, node = event.future.pid, event.future.node
        except AdaptiveSchedulerError:  # the manager is away for a moment
            pid, node = None, ""
        is_over = event.kind in ("done", "failed")
        with self._lock:
            if (pid is not None or is_over) and self._unseen.pop(event.number, None) is not None:
                where = f"on {node or 'an unknown node'}"
                given = _given(event.parameters)
                print_line(
                    f"started: {pid or 'for a moment only'} {where} {event.number:04d} {given}"
                )


def _given(parameters: dict[str, Any]) -> str:
    return " ".join(f"{name}={value!r}" for name, value in parameters.items())
