"""The fake qsub: options and directives made into a request, or refused in PBS's words."""

from __future__ import annotations

import getopt
import os
import re
import shlex
from pathlib import Path

from client import QSUB_OPTIONS
from model import SERVER, Refused, Request

USAGE = (
    "usage: qsub [-a date_time] [-A account_string] [-c interval]\n"
    "\t[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]\n"
    "\t[-k keep] [-l resource_list] [-m mail_options] [-M user_list]\n"
    "\t[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]\n"
    "\t[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]\n"
    "\t[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]\n"
    "       qsub --version\n"
)
CHUNK_RESOURCES = {"ncpus", "mpiprocs", "ompthreads", "mem", "vmem", "host", "vnode", "arch"}
MAX_NAME = 230
BAD_VALUE, UNKNOWN_RESOURCE, UNKNOWN_QUEUE, OVER_MAX, QUEUE_OFF = 166, 187, 170, 188, 173
#: pbs_error.h: PBSE_BADUSER (captured: qsub_root_before_acl), PBSE_QACESS, PBSE_BADACCT, less 58 * 256.
BAD_USER, NO_ACCESS, BAD_ACCOUNT = 175, 174, 201
_WALLTIME = re.compile(r"\d+(\.\d+)?|\d+:\d+(:\d+)?")
_SIZE = re.compile(r"\d+([kmgt]?b|[kmgt])?", re.IGNORECASE)

Options = dict[str, str]


def read(argv: list[str], cwd: str, environ: dict[str, str], stdin: str) -> tuple[Request, Options]:
    """One request and the options that the server needs besides (``-J``, ``-h``)."""
    try:
        pairs, rest = getopt.getopt(argv, QSUB_OPTIONS)
    except getopt.GetoptError as error:
        raise Refused(2, f"qsub: invalid option -- '{error.opt}'\n{USAGE}") from error
    script, name = _script(rest, cwd, stdin)
    options = _merged(_directives(script), [(key, value) for key, value in pairs])
    if not re.fullmatch(rf"[A-Za-z0-9_.+-]{{1,{MAX_NAME}}}", options.get("-N", "x")):
        raise Refused(2, f"qsub: illegal -N value\n{USAGE}")
    for key in ("-o", "-e"):  # whatever the locale: captured as qsub_illegal_o_value.err
        if not re.fullmatch(r"[ -~]*", options.get(key, "")):
            raise Refused(2, f"qsub: illegal {key} value\n{USAGE}")
    resources = _resources(options.get("-l", ""))
    walltime = resources.get("walltime")
    if "place" in resources and "select" not in resources:
        raise Refused(7, 'qsub: Cannot have "place" without "select"\n')
    request = Request(
        script=script,
        name=options.get("-N", name),
        queue=options.get("-q", "workq"),
        select=resources.get("select", f"1:ncpus={resources.get('ncpus', '1')}"),
        place=resources.get("place", "free" if "select" in resources else "pack"),
        walltime=None if walltime is None else _seconds(walltime),
        output=options.get("-o", ""),
        error=options.get("-e", ""),
        joined=options.get("-j") == "oe",
        rerunnable=options.get("-r", "y") == "y",
        variables=_variables(options, cwd, environ),
        workdir=cwd,
        arguments=" ".join(argv),
        mail=options.get("-m", "a"),
    )
    return request, options


def array_indices(value: str, largest: int) -> list[int]:
    """The subjobs of ``-J X-Y[:Z]``; PBS knows no array of one."""
    match = re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?(?:%\d+)?", value)
    if match is None or int(match[1]) >= int(match[2]):
        raise Refused(2, f"qsub: illegal -J value\n{USAGE}")
    indices = list(range(int(match[1]), int(match[2]) + 1, int(match[3] or 1)))
    if len(indices) > largest:
        raise Refused(3, "qsub: Array job exceeds server or queue size limit\n")
    return indices


def _script(rest: list[str], cwd: str, stdin: str) -> tuple[str, str]:
    if not rest or rest[0] == "-":
        return stdin, "STDIN"
    path = Path(cwd, rest[0])
    if not path.exists():
        raise Refused(1, "qsub: script file:: No such file or directory\n")
    if not path.is_file():
        raise Refused(1, "qsub: script not a file\n")
    text = path.read_bytes().decode(errors="surrogateescape")
    if "\r\n" in text:
        raise Refused(1, "qsub: script contains cr, lf\n")
    return text, path.name


def _directives(script: str) -> list[tuple[str, str]]:
    """Options of the ``#PBS`` lines before the first command."""
    found: list[tuple[str, str]] = []
    for line in script.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        if line.startswith("#PBS"):
            try:
                pairs, rest = getopt.getopt(shlex.split(line[4:], posix=True), QSUB_OPTIONS)
            except (getopt.GetoptError, ValueError) as error:
                raise Refused(1, f"qsub: directive error: {line[5:]} \n") from error
            if rest:
                raise Refused(1, f"qsub: directive error: {line[5:]} \n")
            found += pairs
    return found


def _merged(directives: list[tuple[str, str]], given: list[tuple[str, str]]) -> Options:
    """The command line wins; ``-l`` adds up."""
    options: Options = {}
    for key, value in [*directives, *given]:
        if key == "-l" and key in options:
            value = f"{options[key]},{value}"
        options[key] = value
    return options


def _resources(text: str) -> dict[str, str]:
    resources = dict(pair.partition("=")[::2] for pair in text.split(",") if pair)
    for key, value in resources.items():
        if key == "select":
            _check_select(value)
        elif key == "walltime" and not _WALLTIME.fullmatch(value):
            raise Refused(BAD_VALUE, _bad("Resource_List.walltime"))
        elif key == "place" and not re.fullmatch(
            r"(free|pack|scatter|vscatter)?:?(excl|shared|exclhost)?(:?group=\w+)?", value
        ):
            raise Refused(BAD_VALUE, _bad("Resource_List.place"))
        elif key not in {"walltime", "place", "ncpus", "mem"}:
            raise Refused(UNKNOWN_RESOURCE, f"qsub: Unknown resource Resource_List.{key}\n")
    return resources


def _check_select(select: str) -> None:
    for chunk in select.split("+"):
        first, *pairs = chunk.split(":")
        if first == "0":
            raise Refused(BAD_VALUE, "qsub: Illegal attribute or resource value\n")
        for pair in pairs if first.isdigit() else [first, *pairs]:
            key, _, value = pair.partition("=")
            if key not in CHUNK_RESOURCES:
                raise Refused(UNKNOWN_RESOURCE, f"qsub: Unknown resource: {key}\n")
            good = _SIZE.fullmatch(value) if key.endswith("mem") else value.isdigit()
            if not good and key not in {"host", "vnode", "arch"}:
                raise Refused(BAD_VALUE, _bad(f"select.{key}"))


def _bad(name: str) -> str:
    return f"qsub: Illegal attribute or resource value {name}\n"


def _seconds(text: str) -> int:
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return int(seconds + 0.999)


def _variables(options: Options, cwd: str, environ: dict[str, str]) -> dict[str, str]:
    """``PBS_O_*``, then ``-V`` and ``-v``; PATH never gets through."""
    variables = {
        f"PBS_O_{key}": environ[key]
        for key in ("HOME", "LANG", "LOGNAME", "PATH", "MAIL", "SHELL", "TZ")
        if key in environ
    }
    variables |= {"PBS_O_WORKDIR": cwd, "PBS_O_SYSTEM": os.uname().sysname}
    if "-V" in options:
        variables |= environ
    for item in _items(options.get("-v", "")):
        key, equals, value = item.partition("=")
        variables[key] = value if equals else environ.get(key, "")
    return variables | {"PBS_O_QUEUE": options.get("-q", "workq"), "PBS_O_HOST": SERVER}


def _items(text: str) -> list[str]:
    """Split at commas that are neither quoted nor escaped; quotes vanish."""
    bad = Refused(1, "qsub: cannot send environment with the job\n")
    items = [""]
    quote = ""
    letters = iter(text)
    for letter in letters:
        if letter == "\\":
            items[-1] += next(letters, "")
        elif quote or letter in "'\"":
            if letter != quote and quote:
                items[-1] += letter
            else:
                quote = "" if quote else letter
        elif letter == ",":
            items.append("")
        else:
            items[-1] += letter
    if quote or any(item and not re.match(r"[A-Za-z_]\w*(=|$)", item) for item in items):
        raise bad
    return [item for item in items if item]
