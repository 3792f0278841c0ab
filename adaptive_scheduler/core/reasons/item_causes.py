"""Causes that the row of an item tells, and what its job reports of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from adaptive_scheduler.core.reasons.question import Found, Question
from adaptive_scheduler.core.reasons.sources import sources_of
from adaptive_scheduler.core.rows.items import Ranked, rank_of, was_blocked
from adaptive_scheduler.core.rows.row import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    TASK,
    WAITING,
    Item,
    Phase,
    TaskItem,
)
from adaptive_scheduler.core.tasks.pools import NO_ROOM
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import duration_text, rate_text
from adaptive_scheduler.core.wire.snapshot import item_view

#: Tasks, jobs and reasons of one kind that are named.
MOST_NAMED = 5
#: A task runs for longer than usual after so many seconds, and so many times the usual ones.
LONG, LONG_FACTOR = 60.0, 5.0
_STANDS = {Phase.WAITING: "waits itself", Phase.QUEUED: "is queued", Phase.RUNNING: "runs"}


def listed(texts: Sequence[str]) -> str:
    """Join the first of many."""
    more = len(texts) - MOST_NAMED
    return "; ".join(texts[:MOST_NAMED]) + (f"; and {more:,} more" if more > 0 else "")


def named(row: Item) -> str:
    """``task 3``, ``learner 3``."""
    return f"{row.kind} {row.id}"


# ------------------------------------------------------------------------ others come first


def parents(question: Question) -> Iterator[Found]:
    """It waits for others to be done."""
    row, rows = question.row, question.rows
    if row is None or row.phase is not WAITING:
        return
    before = [rows[one] for one in dict.fromkeys(row.depends_on) if rows[one].phase is not DONE]
    texts = [f"{named(one)}, which {_STANDS.get(one.phase, 'has ended')}" for one in before]
    if texts:
        yield Found(f"it waits for {listed(texts)}")


def parent_failed(question: Question) -> Iterator[Found]:
    """It failed without a try: what it depends on will not be done."""
    row, rows = question.row, question.rows
    if row is None or not was_blocked(row) or not row.depends_on:
        return
    guilty = row
    while was_blocked(guilty):  # down to the one that failed by itself
        bad = [rows[n] for n in guilty.depends_on if rows[n].phase in (FAILED, CANCELLED)]
        if not bad:
            break
        guilty = bad[0]
    if guilty is row:
        return
    how = "failed" if guilty.phase is FAILED else "was cancelled"
    what, others = named(guilty), " or through others" if guilty.id not in row.depends_on else ""
    why = f": {guilty.reason}" if guilty.phase is FAILED and guilty.reason else ""
    again = f"mend and retry {what}: those that depend on it are queued again, too"
    yield Found(f"it depends on {what}{others}, which {how}{why}", again)


def goes_first(row: Item, rows: Iterable[Ranked]) -> Iterator[Found]:
    """Which free items go first: asked where all rows are at hand, for it looks at each.

    Parameters
    ----------
    row : Item
    rows : iterable
        All rows, or where each queued one stands.
    """
    if row.phase is not QUEUED:
        return
    own, is_task = rank_of(row), row.kind == TASK
    first = [
        one
        for one in rows
        if one.phase is QUEUED and (is_task or one.shape == row.shape) and rank_of(one) < own
    ]
    if not first:
        return
    best = max(one.priority for one in first)
    why = (
        f"the highest has priority {best:g}, it has {row.priority:g}"
        if best > row.priority
        else f"{'it is older, or has' if len(first) == 1 else 'they are older, or have'} failed less often"
    )
    tag = row.tag if isinstance(row, TaskItem) else ""
    same = sum(getattr(one, "tag", "") == tag for one in first)  # of a learner none
    # others may have jobs of their own
    tags = f", {same:,} with the same tag" if same < len(first) else ""
    goes = counted(len(first), f"{row.kind} goes", f"{row.kind}s go")
    yield Found(f"{goes} first{tags}: {why}")


def retry_delay(question: Question) -> Iterator[Found]:
    """It failed, and is tried again after a while."""
    row, known = question.row, question.known
    if row is None or row.phase is not QUEUED:
        return
    left = question.state.items.delay_left(row.id, known.monotonic)
    if left is not None:
        task = question.task
        of = f": its delay is {task.policy.delay:g} s" if task else ", since it failed before"
        yield Found(f"it is tried again in {left:.0f} s{of}")


def was_tried(question: Question) -> Iterator[Found]:
    """It was begun before, and came back."""
    row = question.row
    if row is not None and row.phase is QUEUED and row.attempts and row.reason:
        yield Found(
            f"it was begun {counted(row.attempts, 'time')} before, the last time: {row.reason}"
        )


# ------------------------------------------------------------------------------ it runs


def silent(question: Question) -> Iterator[Found]:
    """The job that runs it sends no heartbeats, though the queue may show it as running."""
    job, timing = question.job, question.state.config.timing
    if job is None or not question.known.is_alive:
        return
    silence = job.silence(question.known.monotonic)
    if silence <= timing.lease or (question.row and question.row.phase is not RUNNING):
        return
    name = "it" if question.row is None else f"its job {job.id}"
    where = f" on {job.node_name}" if job.node_name else ""
    queue = f", and {job.listed.native_state} in the queue" if job.listed else ""
    left = timing.lease + timing.patience - silence
    then = (
        "starts by itself elsewhere when the batch system no longer has the job"
        if left <= 0
        else f"is cancelled in {duration_text(left)} if it stays so, and its work is begun elsewhere"
    )
    yield Found(
        f"{name}{where} has sent nothing for {duration_text(silence)}{queue}; it {then}",
        f"look at its output and at its node; to have it begun elsewhere now, cancel job {job.id}",
    )


def slow(question: Question) -> Iterator[Found]:
    """A point, or a task, takes much longer than those before."""
    row, state = question.row, question.state
    if row is None or row.phase is not RUNNING:
        return
    task, report = question.task, state.reports.get(row.id)
    if task is not None:
        usual = state.tasks.hand_out.durations.of(task.function) if task.function else float("inf")
        since = question.known.wall - row.changed
        if since > max(LONG, LONG_FACTOR * usual):
            yield Found(
                f"it runs since {duration_text(since)}, and its function usually takes {usual:.3g} s",
                "wait, or cancel it; timeout ends such a task by itself",
            )
    elif report is not None and item_view(row, report).stalled:
        usual_points = f"; 95 % of its points took at most {report.p95:.3g} s" if report.p95 else ""
        yield Found(f"no point has come back for {duration_text(report.idle_since)}{usual_points}")


def waits_in_job(question: Question) -> Iterator[Found]:
    """It was handed out, and another task has its place still."""
    task, job = question.task, question.row.job if question.row is not None else None
    head = question.state.tasks.heads.get(job) if task is not None and job else None
    if task is not None and head is not None and not head.view.mirror.has_place(task.token):
        yield Found(f"job {job} has it already: it begins there as soon as another task ends")


def begins(question: Question) -> Iterator[Found]:
    """A job has the learner, and has told nothing of it yet."""
    row = question.row
    if row is None or row.phase is not RUNNING or row.kind == TASK:
        return
    if question.known.is_alive and row.id not in question.state.reports:
        yield Found(f"job {row.job} was given it, and loads it")


def runs_well(question: Question) -> Iterator[Found]:
    """It is being worked on."""
    row = question.row
    if row is None or row.phase is not RUNNING:
        return
    job = question.job
    where = f" on {job.node_name}" if job is not None and job.node_name else ""
    since = duration_text(max(0.0, question.known.wall - row.changed))
    report = question.state.reports.get(row.id)
    how = ""
    if report is not None:
        points = counted(max(report.npoints, row.npoints), "point")
        how = f": {points}, {rate_text(report.points_per_second)} points/s, the last one {duration_text(report.idle_since)} ago"
    yield Found(f"it runs in job {row.job}{where}, for {since} now{how}")


# ----------------------------------------------------------------------------- it has ended


def fits_no_pool(question: Question) -> Iterator[Found]:
    """Nothing that there is, or may come, could ever hold it."""
    row = question.row
    if row is not None and row.phase is FAILED and row.reason.startswith(NO_ROOM):
        yield Found(row.reason.rstrip("."))


def failed(question: Question) -> Iterator[Found]:
    """It was given up."""
    row = question.row
    if row is None or row.phase is not FAILED or row.reason.startswith(NO_ROOM):
        return
    if was_blocked(row) and row.depends_on:
        return
    counts = [
        counted(n, what, many)
        for n, what, many in (
            (row.fails_in_all or row.fails, "failure", ""), (row.crashes, "crash", "crashes"),
        )
        if n
    ]  # fmt: skip
    tries = f" after {' and '.join(counts)}" if counts else ""
    yield Found(f"it was given up{tries}: {row.reason or 'nobody has said why'}")


def cancelled(question: Question) -> Iterator[Found]:
    """Somebody has cancelled it."""
    row = question.row
    if row is not None and row.phase is CANCELLED and not question.state.cancelled:
        yield Found("it was cancelled")


def done(question: Question) -> Iterator[Found]:
    """Nothing is left to do."""
    row = question.row
    if row is None or row.phase is not DONE:
        return
    points = f"has {counted(row.npoints, 'point')}, and " if row.kind != TASK else ""
    tries = f", in {counted(row.attempts, 'try', 'tries')}" if row.attempts > 1 else ""
    yield Found(f"it {points}took {duration_text(row.worked)} of work{tries}")


# --------------------------------------------------------------------- jobs are to come


def max_jobs(question: Question) -> Iterator[Found]:
    """As many jobs as are allowed exist, and none of those in the queue would run it."""
    row = question.row
    if row is None or row.phase is not QUEUED:
        return
    for source in sources_of(question):
        if source.used < source.most or question.waiting_jobs([source]):
            continue
        if source.pool is not None:
            name = f"pool {source.pool.name} has {counted(source.used, 'job')}, and may have {source.most}"
            yield Found(f"{name}: max_jobs is reached", "wait, or give the pool a larger max_jobs")
        else:
            jobs = counted(source.used, "job")
            yield Found(
                f"this run has {jobs}, and may have {source.most}: no more is submitted for it"
            )


def job_to_come(question: Question) -> Iterator[Found]:
    """A job for it is about to be submitted."""
    row, known = question.row, question.known
    if row is None or row.phase is not QUEUED or question.state.stops.held:
        return
    if known.submit_error or known.listing_error:
        return
    for source in sources_of(question):
        if source.used >= source.most or question.waiting_jobs([source]):
            continue
        if source.coming:
            yield Found(f"{counted(source.coming, 'job')}{source.whose} is being submitted")
        elif source.pool is not None:
            name = f"pool {source.pool.name} has {counted(source.used, 'job')}, and may have {source.most}"
            yield Found(f"{name}: one more is submitted when it is needed")
        elif any(not job.may_be_pending for job in source.jobs):
            yield Found("a job that has started takes it next, or one more is submitted")
        else:
            yield Found("a job for it is submitted within moments")


def no_jobs(question: Question) -> Iterator[Found]:
    """Nothing submits jobs, and nothing has joined the run."""
    row, state = question.row, question.state
    if row is None or row.phase is not QUEUED or not question.known.is_alive:
        return
    if question.task is not None:
        if not state.pools.active and not state.tasks.heads:
            yield Found("nothing runs tasks: there is no pool, and no machine has joined the run")
    elif not question.known.submits and not state.jobs.live:
        yield Found("this manager submits no jobs, and none has joined the run")
