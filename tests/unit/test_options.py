"""The options of a run are written once; other names are accepted and mistakes explained."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import adaptive
import msgspec
import numpy as np
import pytest

from adaptive_scheduler import client_support, server_support
from adaptive_scheduler.core.config import JobLimits, RunConfig, Timing
from adaptive_scheduler.core.options.aliases import ALIASES, REPLACED
from adaptive_scheduler.core.options.keywords import resolve
from adaptive_scheduler.core.options.run_options import Limits, Network, RunOptions, Saving
from adaptive_scheduler.errors import InputError, UnknownArgumentError
from adaptive_scheduler.runs.run_manager import RunManager
from adaptive_scheduler.runs.start.prepare import stored
from adaptive_scheduler.schedulers.local import LocalScheduler

GROUPS = {"limits": Limits, "saving": Saving, "network": Network}
FIELDS = {one.name: one for one in dataclasses.fields(RunOptions)}


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def run_manager(**options: Any) -> RunManager:
    learner = adaptive.Learner1D(abs, bounds=(-1, 1))
    return RunManager(LocalScheduler(cores=1), [learner], ["data"], **{"goal": 3, **options})


# ------------------------------------------------------------------- each is written once


def test_run_manager_has_exactly_the_options() -> None:
    found = parameters(RunManager.__init__)
    own = {name: one for name, one in found.items() if one.kind is one.KEYWORD_ONLY}
    tables = {"save_dataframe", "dataframe_format"}  # of learners alone, and of no job's settings
    assert set(own) - set(GROUPS) - tables == set(FIELDS)
    for name, one in FIELDS.items():
        assert (own[name].default, own[name].annotation) == (one.default, one.type), name
    assert [name for name in found if name not in own] == ["self", "scheduler", "learners", "fnames"]  # fmt: skip


def test_client_support_run_has_some_of_them() -> None:
    found = parameters(client_support.run)
    own = {name: one for name, one in found.items() if one.kind is one.KEYWORD_ONLY}
    assert set(own) <= set(FIELDS)
    for name, parameter in own.items():
        if name not in ("goal", "initializers"):  # goal has no default here
            expected = FIELDS[name].default, FIELDS[name].type
            assert (parameter.default, parameter.annotation) == expected, name


def test_manage_jobs_has_the_names_of_the_options() -> None:
    found = parameters(server_support.manage_jobs)
    for name in ("max_jobs", "max_fails", "max_crashes", "interval", "client_patience"):
        assert name in found


@pytest.mark.parametrize("record", [RunConfig, JobLimits, Timing])
def test_run_json_has_their_names_and_defaults(record: type[msgspec.Struct]) -> None:
    defaults = stored(RunOptions(), record)
    assert defaults
    for one in msgspec.structs.fields(record):
        if one.name in defaults and one.name != "goal":
            assert one.default == defaults[one.name], one.name


@pytest.mark.parametrize("name", FIELDS)
def test_each_is_described(name: str) -> None:
    about = FIELDS[name].metadata["about"]
    assert about.endswith(".")
    assert len(about) <= 90
    described = (RunManager.__doc__ or "").partition("Parameters")[2]
    assert f"\n    {name} : " in described


def test_a_group_is_described_behind_its_fields() -> None:
    words = [line.split(" : ")[0].strip() for line in (RunManager.__doc__ or "").splitlines() if " : " in line]  # fmt: skip
    for name, kind in GROUPS.items():
        fields = [one.name for one in dataclasses.fields(kind)]
        place = words.index(name)
        assert words[place - len(fields) : place] == fields


# ------------------------------------------------------------------------------ values


def test_lengths_of_time_are_seconds() -> None:
    options = RunOptions(save_interval="5m", interval=timedelta(seconds=2), point_timeout="1h")
    assert (options.save_interval, options.interval, options.point_timeout) == (300, 2, 3600)


def test_numbers_of_numpy_are_numbers() -> None:
    options = RunOptions(max_jobs=np.int64(7), check=np.bool_(True))
    assert (options.max_jobs, type(options.max_jobs)) == (7, int)
    assert options.check is True


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_jobs": 0}, "max_jobs=0 must be a whole number of at least 1"),
        ({"max_jobs": 2.0}, "max_jobs=2.0"),
        ({"max_fails": True}, "max_fails=True"),
        ({"save_interval": math.nan}, "save_interval=nan"),
        ({"overwrite": "no"}, "overwrite='no' must be True or False"),
        ({"check": None}, "check=None must be True or False"),
        ({"folder": 3}, "folder=3 must be a str or a path"),
        ({"folder": ""}, "folder='' must be a str or a path"),
        ({"folder": "a\0b"}, "NUL"),
        ({"run_script": 3}, "run_script=3 must be a str or a path"),
        ({"name": 3}, "name=3 must be a text"),
        ({"url": 3}, "url=3 must be a text"),
        ({"ports": 50000}, "ports=50000 must be a text"),
        ({"runner_kwargs": {"retrys": 3}}, "'retrys' cannot be given here: did you mean 'retries'"),
    ],
)
def test_bad_values_are_refused_by_name(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run_manager(**given)


def test_a_group_is_checked_where_it_is_made() -> None:
    with pytest.raises(InputError, match="max_jobs=0"):
        Limits(max_jobs=0)


# -------------------------------------------------------------------------------- names


@pytest.mark.parametrize(("other", "name"), [(o, n) for o, n in ALIASES.items() if n in FIELDS])
def test_other_names_are_accepted_and_not_shown(other: str, name: str) -> None:
    value = {"name": "x", "overwrite": True, "interval": 7.0}.get(name, 7)
    assert getattr(RunOptions(**{other: value}), name) == value
    assert other not in parameters(RunManager.__init__)
    assert other not in (RunManager.__doc__ or "")


def test_no_name_is_another_one_too() -> None:
    both = {"partition", "queue"}  # SLURM's name of one option, and PBS's
    assert set(ALIASES) & set(ALIASES.values()) == both
    assert not set(ALIASES) & set(REPLACED)


def test_a_run_manager_takes_the_names_of_before(tmp_path: Path) -> None:
    run = run_manager(job_name="j", max_simultaneous_jobs=3, max_fails_per_job=1,
                      job_manager_interval="3s", overwrite_db=True, folder=tmp_path)  # fmt: skip
    options = run._plan.options  # type: ignore[union-attr]
    assert (options.name, options.max_jobs, options.max_fails, options.interval) == ("j", 3, 1, 3)
    assert run.overwrite


def test_two_names_of_one_thing_are_too_many() -> None:
    words = "RunManager: max_jobs= and max_simultaneous_jobs= are two names for one thing"
    with pytest.raises(InputError, match=words):
        run_manager(max_jobs=3, max_simultaneous_jobs=3)
    with pytest.raises(InputError, match=words):
        run_manager(max_simultaneous_jobs=3, max_jobs=3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("max_job", "RunManager: unknown argument 'max_job'. Did you mean 'max_jobs'"),
        ("max_simultanous_jobs", "Did you mean 'max_jobs'"),
        ("Goal", "Did you mean 'goal'"),
        ("folders", "Did you mean 'folder'"),
        ("xyz", r"unknown argument 'xyz'. Known are scheduler, learners, fnames, goal, name"),
        ("account", r"'account' is no argument here: give extra_scheduler="),
    ],
)
def test_an_unknown_name_is_explained(name: str, words: str) -> None:
    with pytest.raises(UnknownArgumentError, match=words):
        run_manager(**{name: 3})


def test_an_unknown_name_is_a_type_error_too() -> None:
    with pytest.raises(TypeError, match=r"Limits: unknown argument 'max_jbos'. Did you mean"):
        Limits(max_jbos=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"run: unknown argument 'gaol'. Did you mean 'goal'"):
        client_support.run(None, [], [], gaol=3)  # type: ignore[call-arg]


def test_client_support_run_checks_its_options_before_it_looks_for_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ADAPTIVE_SCHEDULER_RUN", raising=False)
    with pytest.raises(InputError, match="save_interval='soon'"):
        client_support.run(None, [], [], goal=3, save_interval="soon")
    with pytest.raises(InputError, match="url=None finds the run through its job"):
        client_support.run(None, [], [], goal=3, save_interval="5m")


def test_run_json_of_an_older_version_is_read_and_written_with_the_same_keys() -> None:
    text = (
        '{"run":"r","shapes":[{}],"job_names":["j"],"log_folder":"/l",'
        '"limits":{"max_simultaneous_jobs":5,"max_fails_per_job":1}}'
    )
    config = msgspec.json.decode(text, type=RunConfig)
    assert config.limits == JobLimits(max_jobs=5, max_fails=1)
    assert msgspec.json.decode(msgspec.json.encode(config)) == msgspec.json.decode(text)


def test_an_open_list_of_names_leaves_others_alone() -> None:
    assert resolve({"partition": "x"}, ["max_jobs"], "manage_jobs", is_open=True) == {"partition": "x"}  # fmt: skip


# ------------------------------------------------------------------------------- groups


def test_a_group_stands_for_its_fields(tmp_path: Path) -> None:
    run = run_manager(limits=Limits(max_jobs=3, point_timeout="5m"), saving=Saving(save_interval=9),
                      network=Network(ports="50000-50100"), folder=tmp_path)  # fmt: skip
    options = run._plan.options  # type: ignore[union-attr]
    assert (options.max_jobs, options.point_timeout, options.max_fails) == (3, 300.0, 3)
    assert (options.save_interval, options.ports) == (9, "50000-50100")


@pytest.mark.parametrize("other", ["max_fails", "max_fails_per_job"])
def test_a_group_and_one_of_its_fields_are_too_many(other: str) -> None:
    with pytest.raises(
        InputError, match=r"limits= and max_fails= are both given: write limits=Limits\(max_fails="
    ):
        run_manager(limits=Limits(max_jobs=3), **{other: 2})


def test_a_group_is_made_with_its_class() -> None:
    with pytest.raises(InputError, match=r"limits=\{'max_jobs': 3\} must be made with Limits"):
        run_manager(limits={"max_jobs": 3})
    run_manager(limits=None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"walltime": "1h"}, r"scheduler= and walltime= are both given: give walltime= to the"),
        ({"walltim": "1h"}, r"scheduler= and walltim= are both given"),
        ({"cores": 3}, r"scheduler= and cores= are both given"),
        ({"python": "py"}, r"scheduler= and python_executable= are both given"),
        ({"scheduler": 3}, "scheduler=3 is no scheduler"),
        ({"job_names": "abc"}, "job_names='abc' must be a list of texts"),
        ({"job_names": []}, r"job_names=\[\] must be a list"),
        ({"max_jobs": 0}, "max_jobs=0 must be a whole number of at least 1"),
        ({"max_jobs": "x"}, "max_jobs='x' must be"),
        ({"max_fails": -1}, "max_fails=-1 must be"),
        ({"job_script_function": 3}, "job_script_function=3 must be a function"),
        ({"db_fname": 3, "run_script": __file__}, "db_fname=3 must be a str or a path"),
        ({"db_fname": "", "run_script": __file__}, "db_fname='' must be a str or a path"),
    ],
)
def test_a_wrong_argument_of_manage_jobs_is_named(options: dict[str, Any], words: str) -> None:
    given = {
        "job_names": ["a"], "db_fname": "x.db", "scheduler": LocalScheduler(1), "max_crashes": 5
    } | options  # fmt: skip
    with pytest.raises(InputError, match=words):
        asyncio.run(server_support.manage_jobs(**given))


def test_other_functions_name_a_wrong_argument_too() -> None:
    with pytest.raises(InputError, match="ports=5 must be a text"):
        server_support.get_allowed_url(ports=5)  # type: ignore[arg-type]
    for logs in (3, [3]):
        with pytest.raises(InputError, match="logs=3 must be a str or a path"):
            server_support.parse_log_files(logs)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="db_fname=3 must be a str or a path"):
        server_support.get_database(3)  # type: ignore[arg-type]
