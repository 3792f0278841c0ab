"""A driver: it submits, changes its mind, collects, and is killed and started again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.wire.messages import Owner, Refused, decode_reply, encode_request
from adaptive_scheduler.core.wire.tasks import Collect, PutFunction, Results, Submit
from tests.simulation.oracle import demand

if TYPE_CHECKING:
    from tests.simulation.task_history import TaskHistory

#: Seconds that a Collect waits in the manager, and until any other request is sent again.
WAIT, AGAIN = 20.0, 10.0


class Sender:
    """One conversation: a request is sent again, under a new number, until it is answered."""

    def __init__(self, history: TaskHistory, name: str) -> None:
        self.history = history
        self.owner = Owner(name, 0, 0, name)
        self.cut_until = 0.0
        self.dead = False
        self.body: Any = None
        self._number = 0

    def ask(self, body: Any) -> None:
        """Send this until it is answered."""
        self.body = body
        self._send()

    def _send(self) -> None:
        self._number += 1
        number = self._number
        self.history.to_manager(self, encode_request(self.owner, number, self.body))
        wait = self.body.wait + 1.0 if isinstance(self.body, Collect) else AGAIN
        self.history.after(wait, lambda: self._send_again(number))

    def _send_again(self, number: int) -> None:
        if not self.dead and self._number == number and self.body is not None:
            self._send()

    def hear(self, message: bytes) -> None:
        """An answer arrives."""
        number, reply = decode_reply(message)
        if not self.dead and number == self._number and self.body is not None:
            body, self.body = self.body, None
            self.answered(body, reply)

    def answered(self, body: Any, reply: Any) -> None:
        """Take in the answer."""
        raise NotImplementedError


class Collector(Sender):
    """Learns how tasks ended, one page after the other."""

    def __init__(self, history: TaskHistory, name: str) -> None:
        super().__init__(history, name)
        self.ask(Collect(0, WAIT))

    def answered(self, body: Any, reply: Any) -> None:
        demand(isinstance(reply, Results), f"a Collect is answered by {reply}")
        demand(reply.upto >= body.seen, "the counter of ends went back")
        self.history.collected.update(ended.item for ended in reply.ended)
        self.ask(Collect(reply.upto, WAIT))


class Asker(Sender):
    """Submits tasks and changes them, one request after the other."""

    def __init__(self, history: TaskHistory, name: str, kept: Any = None) -> None:
        super().__init__(history, name)
        self._sent: set[str] = set()
        self._kept = kept
        self.go_on()

    @property
    def unsaid(self) -> Any:
        """What was to be said, and is not answered."""
        return self._kept or self.body

    def go_on(self) -> None:
        """Ask for the next thing, if there is one."""
        if self.dead or self.body is not None:
            return
        body, self._kept = self._kept or self.history.next_wish(), None
        if isinstance(body, Submit):
            missing = {task.function for task in body.calls if task.function} - self._sent
            for key in sorted(missing):
                self._kept = body
                self._sent.add(key)
                body = PutFunction(key, 0, 1, self.history.functions[key])
                break
        if body is not None:
            self.ask(body)

    def answered(self, body: Any, reply: Any) -> None:
        if isinstance(reply, Refused):
            self.history.refused_wish(body, reply)
        pause = 0.0 if isinstance(body, PutFunction) else self.history.pause()
        self.history.after(pause, self.go_on)
