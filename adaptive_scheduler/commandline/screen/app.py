"""A run on the whole screen: what it does, its learners or tasks, and all about one of them."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Group, RenderableType
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.screen import polling, rows
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.runs.views import pools, render
from adaptive_scheduler.runs.views.tables import duration

if TYPE_CHECKING:
    from types import FrameType

    from adaptive_scheduler.core.wire.snapshot import Snapshot
    from adaptive_scheduler.runs.manager_client import ManagerClient

#: Seconds between two questions; and between two about all learners, which may be many.
INTERVAL, INTERVAL_OF_ALL = 1.0, 3.0
#: Seconds after which it is said that what is shown is old.
OLD = 5.0
HELP = """\
up, down, page up, page down   move
Enter      all about one learner or task: failures, log, output
/          search: words of name, number, phase, job, reason
Escape     end the search, go back
a          all learners, or only those that run or have failed
?          this help
q, Ctrl-C  leave; the run goes on
"""


class TextScreen(ModalScreen[None]):
    """A text over the whole screen.

    Parameters
    ----------
    title, text : str
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,enter,q,question_mark", "dismiss", "Back"),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """Show it."""
        with VerticalScroll():
            yield Static(Text(self._title, "bold"))
            yield Static(Text(self._text), id="text")
        yield Footer()

    def show(self, text: str) -> None:
        """Show another text."""
        self._text = text
        self.query_one("#text", Static).update(Text(text))


class RunScreen(App[int]):
    """The run; its result is the exit code.

    Parameters
    ----------
    client : ManagerClient
    """

    CSS = """
    #head { height: auto; max-height: 60%; }
    #search { border: none; height: 1; padding: 0; }
    DataTable { height: 1fr; }
    TextScreen { background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "leave", "Leave"),
        Binding("slash", "search", "Search", priority=True),  # what is typed next is for it
        ("a", "all", "All"),
        ("question_mark", "help", "Help"),
        ("escape", "end_search", ""),
        ("ctrl+c", "interrupt", ""),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, client: ManagerClient) -> None:
        super().__init__(ansi_color=True)
        self._client = client
        self.seen = polling.LastSeen()
        self._shows_all = False
        self._is_asking = False
        self._names: tuple[str, ...] = ()
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        """The run, the search, the table, the keys."""
        yield Static(id="head")
        yield Input(placeholder="search", id="search", compact=True)
        yield DataTable(cursor_type="row", zebra_stripes=False, cell_padding=1)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to ask; a signal that ends the process restores the terminal first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.add_signal_handler(number, self._end, 128 + number)
        _resume_only_after_suspend()
        self.query_one("#search", Input).display = False
        self._table.focus()
        self.ask()
        self.set_interval(INTERVAL, self.ask)

    def _end(self, code: int) -> None:
        self.exit(code)

    @property
    def _table(self) -> DataTable[Any]:
        return self.query_one(DataTable)

    @property
    def _words(self) -> str:
        return str(self.query_one("#search", Input).value)

    # ------------------------------------------------------------------ asking

    def ask(self) -> None:
        """Ask for a new snapshot, unless that is under way or it is too early for all learners."""
        everything = self._shows_all or bool(self._words)
        is_early = everything and self.seen.snapshot is not None and self.seen.age < INTERVAL_OF_ALL
        if not self._is_asking and not (is_early and not self.seen.problem and self._drawn):
            self._is_asking = True
            self.run_worker(lambda: self._ask(everything), thread=True)
        if self.seen.problem:
            self.draw()

    def _ask(self, everything: bool) -> None:
        seen = polling.ask(self._client, self.seen, everything=everything)
        self.call_from_thread(self._take, seen)

    def _take(self, seen: polling.LastSeen) -> None:
        self._is_asking = False
        self.seen = seen
        if seen.snapshot is not None and polling.is_over(seen.snapshot):
            self.exit(exit_codes.of_snapshot(seen.snapshot))
            return
        self.draw()

    # ----------------------------------------------------------------- drawing

    def draw(self) -> None:
        """Show what was seen last."""
        snapshot = self.seen.snapshot
        if not self.is_running or len(self.screen_stack) > 1:
            return
        self.query_one("#head", Static).update(self._head(snapshot))
        if snapshot is not None:
            self._draw_table(snapshot)

    def _head(self, snapshot: Snapshot | None) -> RenderableType:
        if snapshot is None:
            return Text(self.seen.problem or "asking ...", "dim")
        parts = [render.headline(snapshot), render.progress(snapshot), *render.notes(snapshot)]
        if snapshot.kind == TASK:
            parts += pools.pools_table(snapshot)
        parts += [Text(line, "yellow") for line in render.waiting(snapshot)]
        if self.seen.problem and self.seen.age > OLD:
            parts.append(
                Text(f"This is {duration(self.seen.age)} old: {self.seen.problem}", "bold red")
            )
        return Group(*parts)

    def _draw_table(self, snapshot: Snapshot) -> None:
        found = rows.matching(snapshot, self._words)
        lines = rows.cells(snapshot, found[: rows.MOST])
        names = rows.TASKS if snapshot.kind == TASK else rows.LEARNERS
        shown = rows.columns(names, lines, self.size.width - len(names))
        drawn = [rows.shortened(names, line, shown) for line in lines]
        if (shown, drawn) == self._drawn:
            return
        table, row = self._table, self._table.cursor_row
        key = self._key()
        if self._names != (wanted := tuple(f"{n}:{wide}" for n, wide in shown.items())):
            table.clear(columns=True)
            for n, wide in shown.items():
                table.add_column(names[n], width=wide)
            self._names = wanted
        else:
            table.clear()
        for item, line in zip(found, drawn, strict=False):
            table.add_row(*line, key=str(item.id))
        keys = [str(item.id) for item in found[: rows.MOST]]
        table.move_cursor(row=keys.index(key) if key in keys else row, animate=False)
        self._drawn = (shown, drawn)

    def _key(self) -> str:
        """The item under the cursor."""
        table = self._table
        if not table.row_count:
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    def on_resize(self) -> None:
        """Draw in the new width."""
        self._drawn = None
        self.draw()

    # -------------------------------------------------------------------- keys

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Show all about one."""
        item = int(str(event.row_key.value))
        screen = TextScreen(f"{self._kind()} {item}", "asking ...")
        self.push_screen(screen, lambda _: self._again())
        self.run_worker(lambda: self._show(screen, item), thread=True)

    def _kind(self) -> str:
        return "" if self.seen.snapshot is None else self.seen.snapshot.kind

    def _show(self, screen: TextScreen, item: int) -> None:
        text = polling.details(self._client, item)
        self.call_from_thread(screen.show, text)

    def _again(self) -> None:
        self._drawn = None
        self.draw()

    def on_input_changed(self) -> None:
        """Search among all at each letter."""
        self._drawn = None
        self.draw()
        self.ask()

    def on_input_submitted(self) -> None:
        """Go to what was found."""
        self.screen.set_focus(self._table)

    def action_search(self) -> None:
        """Ask for words."""
        if len(self.screen_stack) > 1:
            return
        search = self.query_one("#search", Input)
        if search.has_focus:
            search.insert_text_at_cursor("/")
            return
        search.display = True
        self.screen.set_focus(search)  # at once: the next letter is for it

    def action_end_search(self) -> None:
        """Show all again."""
        search = self.query_one("#search", Input)
        search.value = ""
        search.display = False
        self.screen.set_focus(self._table)

    def action_all(self) -> None:
        """Show all learners, or only those that run or have failed."""
        self._shows_all = not self._shows_all
        self._drawn = None
        self.ask()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(TextScreen("Keys", HELP), lambda _: self._again())

    def action_leave(self) -> None:
        """End the watching."""
        self.exit(exit_codes.DONE)

    def action_interrupt(self) -> None:
        """End the watching, as Ctrl-C does elsewhere."""
        self.exit(exit_codes.INTERRUPTED)


def _resume_only_after_suspend() -> None:
    """Let a plain SIGSTOP and SIGCONT, as of a scheduler that suspends jobs, change nothing.

    Textual sets up the terminal at each SIGCONT, takes its own modes for those of before, and leaves them at the end.
    """
    suspend, resume = signal.getsignal(signal.SIGTSTP), signal.getsignal(signal.SIGCONT)
    if not callable(suspend) or not callable(resume):
        return  # no terminal
    is_suspended = False

    def on_suspend(number: int, frame: FrameType | None) -> None:
        nonlocal is_suspended
        is_suspended = True
        suspend(number, frame)

    def on_resume(number: int, frame: FrameType | None) -> None:
        nonlocal is_suspended
        if is_suspended:
            resume(number, frame)
            is_suspended = False

    signal.signal(signal.SIGTSTP, on_suspend)
    signal.signal(signal.SIGCONT, on_resume)


def show_run(client: ManagerClient) -> tuple[int, Snapshot | None]:
    """Show a run until it is over or somebody leaves; returns the exit code and the last snapshot."""
    app = RunScreen(client)
    code = app.run()
    return (exit_codes.INTERRUPTED if code is None else code), app.seen.snapshot
