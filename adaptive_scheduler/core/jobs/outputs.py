"""What the end of a job's output tells of its death."""

from __future__ import annotations

#: Lines of a job's output that say why it died.
LAST_LINES = 3
#: Lines of Python's stack at a crash that are told in a reason.
STACK_LINES = 4

#: What faulthandler prints of a signal (CPython, Modules/faulthandler.c).
_FATAL, _FRAME = "Fatal Python error: ", 'File "'
#: Below it, frames are ours.
_OURS = "executors/worker.py"


#: Where a job script tells that it starts the client again.
_AGAIN = "[adaptive_scheduler] The client ended"


def of_this_try(text: str) -> str:
    """What was printed since the client was started for the last time."""
    return _tries(text)[-1]


def _tries(text: str) -> list[str]:
    first, *others = text.split(_AGAIN)
    return [first, *(other.partition("\n")[2] for other in others)]


def told_once(text: str) -> str:
    """Without what the job script itself says, and without the same again from each try."""
    lines = (line for line in text.splitlines() if not line.startswith("[adaptive_scheduler]"))
    return "\n".join(dict.fromkeys(lines))


def end_of_output(text: str) -> str:
    """The reason in a job's output, on one line: Python's stack at a crash, else its last lines."""
    lines = told_once(text).strip().splitlines()[-LAST_LINES:]
    said = _crash(text) or [line.strip()[:200] for line in lines if line.strip()]
    return f"the end of its output: {' | '.join(said)}" if said else ""


def _crash(text: str) -> list[str]:
    """The last fatal error of Python, with the frames of the user's code."""
    told = [one for one in _tries(text) if one.strip()] or [""]
    _, found, rest = told[-1].rpartition(_FATAL)
    if not found:
        return []
    head, *stack = [line.strip()[:200] for line in rest.splitlines()]
    frames = []
    for line in stack:
        if line.startswith(_FRAME) and _OURS not in line:
            frames.append(line)
        elif frames:
            break
    return [f"{_FATAL}{head}", *frames[:STACK_LINES]]
