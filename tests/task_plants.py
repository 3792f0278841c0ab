"""Bugs that histories of tasks must find; `tests.plants` plants them, and says how one is written."""

from __future__ import annotations

from tests.planting import Change

#: Name -> what makes the bug. The first ones are those that were asked for.
TASK_PLANTS: tuple[tuple[str, tuple[Change, ...]], ...] = (
    ("order inverted after a re-sort", (Change("ItemTable._is_true", "operation rank rank_of -QUEUED", "True"),)),
    ("a cancelled task that was held ahead begun", (Change("HeadSession.take", "test given dropped -order", "True"),)),
    ("a value lost at a checkpoint", (Change("Facts.copied", "statement _look"),)),
    ("a token reused across tasks of one client", (Change("ItemTable.grant", "operation last_token", "self.last_token"),)),
    ("a dead agent's tasks kept", (Change("HeadSession._end_dead", "statement _end -for kind text"),)),
    ("a double booking at a release", (Change("HeadMirror._end", "test follower None -next", "True"),)),
    ("a driver's resend counted twice", (Change("DriverManager._submit", "test known", "False"),)),
    ("a parked answer sent twice", (Change("Dispatcher._look_at_parked", "statement uuid _parked -list -items -append"),)),
    ("a crash counted for a neighbour", (Change("HeadSession._return_unbegun", "statement _lines _end -unsent > name BACK", "EndKind.DIED"),)),
    ("a task that was lined up begun again", (Change("HeadSession._is_away", "operation token _lines -running", "False"),)),
    ("tags ignored", (Change("HeadView.may_have", "operation accepts of -has_time_for", "True"),)),
    ("starve_after ignored", (Change("Starvation.reserve", "test since after", "True"),)),
    ("a recalled task run", (Change("HeadSession._let_go", "statement _end begun"),)),
    # of several nodes
    ("a lost node placed on", (Change("Inventory.lose", "statement lost add"),)),
    ("what is taken on a lost node free when it is there again", (Change("Inventory.add", "test known cores -node", "True"),)),
    ("ranks counted in another order than their nodes", (Change("Inventory.place", "call sorted one", "[one[2] for one in best]"),)),
    ("a task begun on a node that is lost", (Change("HeadSession._begin_or_return", "test _is_lost", "True"),)),
    ("the end of ranks told while some are left", (Change("RankTasks.ready", "test nodes", "True"),)),
    ("a job that lacks nodes keeps its place for ever", (Change("Head.lacks_nodes", "return lacks_since", "return False"),)),
    ("a job whose node comes a little later given nothing", (Change("Head.lacks_nodes", "return lacks_since", "return self.lacks_since is not None"),)),
    # more
    ("a head that lives on believed to be empty", (Change("Head.__init__", "statement is_known", "self.is_known = True"),)),
    ("a new manager counts ends from the beginning", (Change("HeadMirror.restore", "statement heard", "self.heard = 0"),)),
    ("half of a Submit kept", (Change("row_codec:_without_half_batch", "test _kind TASK", "True"),)),
    ("ends that were taken in are confirmed too early", (Change("HeadReport.forget", "operation number heard", "False"),)),
    ("what did not reach a head is kept after a restart", (Change("HeadManager._restore", "call end_task", "None"),)),
    ("a batch forgotten by the next manager", (Change("row_codec:read_batches", "return items", "return {}"),)),
    ("the place of a waiting task not freed", (Change("HeadMirror._end", "test other None -follower", "False"),)),
    ("a report waits although a task came", (Change("Dispatcher._look_at_parked", "test changed -until", "False"),)),
    ("a task behind its dependency begun", (Change("Dependencies.add", "statement _undone", "self._undone[item.id] = 0"),)),
)  # fmt: skip
