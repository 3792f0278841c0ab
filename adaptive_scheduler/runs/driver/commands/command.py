"""`Command`: a program as a callable from parameters to a value."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.tasks.command_spec import (
    LATER,
    LOG_FILE,
    PARAM_FILE,
    CommandSpec,
    CommandStep,
    later,
)
from adaptive_scheduler.core.tasks.resources import TaskResources, as_checked
from adaptive_scheduler.errors import USER_RAISES, InputError, UnpicklableError
from adaptive_scheduler.io.pickling.by_value import dumps_by_value
from adaptive_scheduler.runs.driver.commands.value_rules import CommandOutput, ValueRule, as_text
from adaptive_scheduler.runs.sites.site import Site

#: ``{name}``, but not ``${NAME}`` of the shell, and not ``{{name}}``, which stays as ``{name}``.
_PLACEHOLDER = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|(?<!\$)\{([A-Za-z_]\w*)\}")
#: Need a folder of the task's own.
_IN_FOLDER = frozenset({"_param_file", "_output"})
#: Placeholders that each command has.
ALWAYS_THERE = _IN_FOLDER | LATER | {"_name", "_index", "_nodes", "_ranks", "_json"}
#: In place of the pickle of a rule that cannot be pickled.
_NOT_PICKLED = b"?"

Text = str | Sequence[str]


class EncodedCommand(msgspec.Struct, frozen=True):
    """A command with its parameters, ready to be sent, and how its value is found.

    Attributes
    ----------
    spec : bytes
    rule : callable, optional
    log : Path
    folder : Path, optional
    reads : callable
        Returns the content of a file where the run is.
    """

    spec: bytes
    rule: Any
    log: Path
    folder: Path | None
    reads: Callable[[Path], bytes]

    def value(self, code: int) -> Any:
        """Return the task's value; raises what the rule raises."""
        if self.rule is None:
            return code
        return self.rule(CommandOutput(self.log, code, self.folder, self.reads))


class Command:
    """A program whose parameters and value are Python's: whatever takes a function takes it.

    Parameters
    ----------
    program : str, sequence of str, or mapping
        Text for the shell, argument list, or several of them as named steps, run one after the
        other until one fails. ``{x}`` is the parameter x (in a text quoted for the shell: do not
        put quotes around it), ``{{x}}`` is ``{x}``, and these are always there: ``{_name}``,
        ``{_index}``, ``{_nodes}``, ``{_ranks}``, ``{_json}`` (all parameters), ``{_param_file}``
        (a file with them), ``{_output}`` (the task's folder), ``{_gpus}``, ``{_hosts}``,
        ``{_attempt}``.
    value : callable, optional
        How its value is found: `float_file`, `json_value`, `regex_value`, `exit_code`, or any
        callable that takes a `CommandOutput`. Default: its exit status, which is 0.
    inputs : sequence of path, optional
        Files and folders that are copied into the task's folder.
    links : sequence of path, optional
        Files and folders to which the task's folder has links: not copied, however large they are. No task
        may change them. Of a run on another host: paths there.
    resources : TaskResources, optional
        What it occupies, unless ``options(resources=...)`` says otherwise.
    keep_log : bool
        Whether the output of a success is kept, as that of a failure is.
    launch_ranks : bool
        Where its resources have several ranks: whether each program is started once for each of them, by
        ``srun`` or ``mpiexec``. If not, it is started once, on the first node, and starts its ranks
        itself: ``mpiexec -hosts {_hosts} -n {_ranks} ./prog``.
    """

    def __init__(
        self,
        program: Text | Mapping[str, Text],
        *,
        value: Callable[[CommandOutput], Any] | None = None,
        inputs: Sequence[str | os.PathLike[str]] = (),
        links: Sequence[str | os.PathLike[str]] = (),
        resources: TaskResources | None = None,
        keep_log: bool = True,
        launch_ranks: bool = True,
    ) -> None:
        if value is not None and not callable(value):
            raise InputError(
                f"value={value!r} must be a callable, such as float_file('result.txt')."
            )
        self.steps = _steps(program)
        self.rule = value
        self.inputs, self.links = _paths("inputs", inputs), _paths("links", links)
        self.resources = None if resources is None else as_checked(resources)
        self._check_files()
        names = self.placeholders
        reads_file = value is not None and (
            value.needs_folder if isinstance(value, ValueRule) else True
        )
        needs_log = value is not None and (
            value.needs_log if isinstance(value, ValueRule) else True
        )
        if needs_log and not keep_log:
            raise InputError(
                "keep_log=False: its value may be read from the output. Leave it out, or give a "
                "value that is read from a file."
            )
        self.keep_log = keep_log
        self.launch_ranks = launch_ranks
        self._pickle_rule()
        self.has_folder = bool(self.inputs or self.links) or reads_file or bool(names & _IN_FOLDER)

    def _check_files(self) -> None:
        missing = [str(path) for path in self.inputs if not path.exists()]
        if missing:
            raise InputError(f"inputs: {missing[0]} does not exist.")
        names = [path.name for path in (*dict.fromkeys(self.inputs), *self.links)]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"inputs and links: two are called {name!r}, in one folder.")
            if name in (PARAM_FILE, LOG_FILE):
                raise InputError(
                    f"inputs and links: the task's folder has a file {name!r} of its own. Give it another name."
                )

    def __call__(self, *_args: Any, **_parameters: Any) -> Any:
        """Say that it is run by an `Executor`."""
        raise InputError(f"{self!r} is run by an Executor: executor.submit(command, x=1).")

    def __repr__(self) -> str:
        first = self.steps[0]
        return f"Command({first.text or shlex.join(first.argv)!r})"

    @property
    def placeholders(self) -> set[str]:
        """The names of the placeholders in its text."""
        return {name for step in self.steps for name in _names(step)}

    def _pickle_rule(self) -> None:
        self._pickled_rule = _pickled(self.rule)

    def encode(
        self,
        site: Site,
        parameters: Mapping[str, Any],
        known: Mapping[str, Any],
        key: str = "",
    ) -> EncodedCommand:
        """Write the task's folder, if it has one, and return what is sent.

        Parameters
        ----------
        site : Site
        parameters : mapping
        known : mapping
            Values of ``{_name}``, ``{_index}``, ``{_nodes}`` and ``{_ranks}``.
        key : str
            Of the task: one that is submitted again, perhaps by another process, has its folder and log.

        Raises
        ------
        InputError
            A placeholder has no value.
        """
        name = _name_of(key) if key else uuid.uuid4().hex[:16]
        own = site.folder.tasks / name if self.has_folder else None
        text = _json(parameters)
        values = {**parameters, **known, "_json": text}
        if own is not None:
            values |= {"_param_file": str(own / PARAM_FILE), "_output": str(own)}
        steps = [_filled(step, values) for step in self.steps]
        if own is None:
            log = site.folder.logs / f"task-{name}.log"
            site.make_folder(log.parent)
        else:
            log = own / LOG_FILE
            site.make_task_folder(own, text, self.inputs, self.links)
        program = CommandSpec(
            steps, site.call_place().folder if own is None else str(own), str(log), rule=self._pickled_rule,
            keep_log=self.keep_log, parameters=text if own is None else "",
            launch_ranks=self.launch_ranks,
        )  # fmt: skip
        try:
            spec = msgspec.msgpack.encode(program)
        except UnicodeEncodeError as error:
            raise InputError(
                f"{self!r}: a text of it or of its parameters is no Unicode: {error.object!r:.200}"
            ) from error
        return EncodedCommand(spec, self.rule, log, own, site.read)


def _paths(name: str, given: Sequence[str | os.PathLike[str]]) -> list[Path]:
    if isinstance(given, str | os.PathLike):
        raise InputError(f"{name}={os.fspath(given)!r} must be a list of files: {name}=[...].")
    texts = [os.fspath(one) for one in given]
    for text in texts:
        if not text or Path(text).absolute().name in ("", ".."):
            raise InputError(f"{name}: {text!r} has no name. Give the path of a file or folder.")
    return [Path(text).absolute() for text in texts]


def _name_of(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


def read_command(site: Site, spec: bytes) -> tuple[EncodedCommand, dict[str, Any]]:
    """Return a command that another process has submitted, and its parameters as JSON has them.

    Raises
    ------
    UnpicklableError
        The rule for its value cannot be loaded here.
    """
    found = msgspec.msgpack.decode(spec, type=CommandSpec)
    own = Path(found.folder) if Path(found.folder).parent == site.folder.tasks else None
    text = found.parameters or "{}"
    if own is not None:
        with suppress(FileNotFoundError):  # it was removed
            text = as_text(site.read(own / PARAM_FILE))
    try:
        rule = _rule_of(found.rule)
    except USER_RAISES as error:  # the border to the user's code: anybody's callable
        raise UnpicklableError(
            f"The rule for a command's value cannot be loaded here ({type(error).__name__}: {error})."
        ) from error
    return EncodedCommand(spec, rule, Path(found.log), own, site.read), json.loads(text)


def _pickled(rule: Any) -> bytes:
    try:
        return b"" if rule is None else dumps_by_value(rule)
    except USER_RAISES:  # the border to the user's code: only other processes would need it
        return _NOT_PICKLED


def _rule_of(pickled: bytes) -> Any:
    if pickled == _NOT_PICKLED:
        raise UnpicklableError("it could not be pickled where the command was submitted")
    return pickle.loads(pickled) if pickled else None


def _steps(program: Text | Mapping[str, Text]) -> list[CommandStep]:
    if isinstance(program, Mapping):
        steps = [_step(str(name), one) for name, one in program.items()]
    else:
        steps = [_step("", program)]
    if not steps or not all(step.text.strip() or step.argv for step in steps):
        raise InputError(f"Command({program!r}): there is nothing to run.")
    return steps


def _step(name: str, program: Text) -> CommandStep:
    if isinstance(program, str):
        return CommandStep(name, text=program)
    if not isinstance(program, Sequence) or not all(
        isinstance(one, str | os.PathLike) for one in program
    ):
        raise InputError(f"Command: {program!r} must be a text for the shell, or a list of texts.")
    return CommandStep(name, argv=[os.fspath(one) for one in program])


def _names(step: CommandStep) -> set[str]:
    return {one[2] for text in (step.text, *step.argv) for one in _PLACEHOLDER.finditer(text)}


def _filled(step: CommandStep, values: Mapping[str, Any]) -> CommandStep:
    text = _fill(step.text, values, shlex.quote)
    return CommandStep(step.name, [_fill(one, values, str) for one in step.argv], text)


def _fill(text: str, values: Mapping[str, Any], quote: Callable[[str], str]) -> str:
    def value(match: re.Match[str]) -> str:
        literal, name = match.groups()
        if literal:
            return f"{{{literal}}}"
        if name in values:
            value = str(values[name])
            if "\0" in value:
                raise InputError(f"{name}={value!r} has a NUL, which no program can be given.")
            return quote(value)
        if name in LATER:
            return later(name)
        raise InputError(
            f"{{{name}}} in {text!r} is no parameter of this task (it has "
            f"{', '.join(one for one in values if one[0] != '_') or 'none'}). "
            f"For the text itself write {{{{{name}}}}}."
        )

    return _PLACEHOLDER.sub(value, text)


def _json(parameters: Mapping[str, Any]) -> str:
    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):  # NumPy
            return value.tolist()
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        raise InputError(f"{value!r} is no value for JSON: give numbers, texts, lists and dicts.")

    try:
        return json.dumps(dict(parameters), default=plain)
    except InputError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the parameters cannot be written as JSON: {error}.") from error
