"""What `utils` shares with other processes: values, tables, data files, files that others make."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import adaptive
import numpy as np
import pandas as pd
import psutil
import pytest

from adaptive_scheduler.errors import DataFileError, InputError, PermissionsError
from adaptive_scheduler.executors.process_pools import ProcessPool
from adaptive_scheduler.utils import (
    LRUCachedCallable,
    atomic_write,
    expand_dict_columns,
    fname_to_dataframe,
    load_dataframes,
    load_parallel,
    save_dataframe,
    save_parallel,
    shared_memory_cache,
    sleep_unless_task_is_done,
    track_file_creation_progress,
)


def n_files(folder):
    return len(list(Path(folder).iterdir()))


def noted(x, folder, y=0):
    """Leave a file for each call."""
    Path(folder, f"{os.getpid()}-{n_files(folder)}").touch()
    return None if x is None else (x, y)


# ----------------------------------------------------------------------- cache


@pytest.fixture
def calls(tmp_path):
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def test_a_value_is_kept_for_all_processes(calls):
    def counted(x, folder, y=0):
        """Not of this module, whose imports would take workers seconds."""
        import uuid
        from pathlib import Path

        Path(folder, uuid.uuid4().hex).touch()
        return None if x is None else (x, y)

    cached = LRUCachedCallable(counted, max_size=2)
    assert cached(1, calls) == (1, 0)
    launcher = ProcessPool()
    pool = launcher.open(1)
    assert pool.submit(cached, 1, folder=calls, y=0).result() == (1, 0)
    assert pool.submit(cached, None, calls).result() is None
    launcher.close(pool, 5)
    assert cached(None, calls) is None
    assert n_files(calls) == 2
    assert sorted(map(str, cached.cache_dict.values())) == ["(1, 0)", "None"]
    cached(3, calls)  # the oldest makes room
    cached(1, calls)
    assert n_files(calls) == 4


def test_fault_32_arrays_that_print_alike_have_values_of_their_own(calls):
    @shared_memory_cache(cache_size=4)
    def total(array, folder):
        """Add all."""
        noted(None, folder)
        return array.sum()

    array = np.arange(5000)
    other = np.where(array == 2500, 0, array)
    assert (total.__name__, total.__doc__) == ("total", "Add all.")
    assert [total(one, calls) for one in (array, other, array)] == [12497500, 12495000, 12497500]
    assert n_files(calls) == 2


def test_what_is_not_kept(calls):
    nothing = LRUCachedCallable(noted, max_size=0)
    assert [nothing(1, calls), nothing(1, calls)] == [(1, 0)] * 2
    assert nothing.cache_dict == {}
    locks = LRUCachedCallable(lambda lock: noted(1, calls))
    for _ in range(2):
        assert locks(threading.Lock()) == (1, 0)
    assert n_files(calls) == 4


def test_without_the_process_that_made_it_the_function_keeps_values_itself(calls, tmp_path):
    code = (
        "import sys, pickle; from adaptive_scheduler.utils import LRUCachedCallable\n"
        "def double(x): return 2 * x\n"
        "cached = LRUCachedCallable(double); cached(1)\n"
        "sys.stdout.buffer.write(pickle.dumps(cached))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    cached = pickle.loads(done.stdout)
    assert [cached(2), cached(2), len(cached.cache_dict)] == [4, 4, 1]


def test_a_function_that_calls_itself_is_sent_whole():
    """As in a notebook: its globals hold what the decorator has made of it."""
    code = (
        "import sys, pickle; from adaptive_scheduler.utils import shared_memory_cache\n"
        "@shared_memory_cache()\n"
        "def fibonacci(n): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)\n"
        "sys.stdout.buffer.write(pickle.dumps([fibonacci, fibonacci]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    one, other = pickle.loads(done.stdout)
    assert one is other
    assert one.function.__globals__["fibonacci"] is one
    assert (one(10), len(one.cache_dict)) == (55, 11)
    assert pickle.dumps(one) == pickle.dumps(one)  # it is sent once, not with each task


def test_fault_23_the_process_with_the_values_ends_with_its_client(calls):
    code = (
        "import os, psutil, time; from adaptive_scheduler.utils import LRUCachedCallable\n"
        "cached = LRUCachedCallable(abs); cached(-1)\n"
        "print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True)\n"
        "time.sleep(100)\n"
    )
    client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    children = [psutil.Process(int(pid)) for pid in client.stdout.readline().split()]
    assert children
    client.kill()
    client.communicate()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_plain_arguments_can_be_read_in_the_copy_of_what_is_kept():
    @shared_memory_cache(cache_size=5)
    def square(x, *more, **named):
        return x**2

    assert [square(2), square(2.0), square(2, 1, a=[None])] == [4, 4, 4]
    assert square.cache_dict == {
        "{'x': 2, 'more': (), 'named': {}}": 4,
        "{'x': 2.0, 'more': (), 'named': {}}": 4,
        "{'x': 2, 'more': (1,), 'named': {'a': [None]}}": 4,
    }


def test_values_are_lost_with_their_process_but_no_call_is():
    cached = LRUCachedCallable(abs)
    assert cached(-1) == 1
    psutil.Process(cached._values._manager._process.pid).kill()
    assert [cached(-1), cached(-2), cached(-2)] == [1, 2, 2]


# ------------------------------------------------------------------ data files


def filled(n):
    learner = adaptive.SequenceLearner(noted, range(n))
    for index in range(n):
        learner.tell((index, index), {"a": index, "b": {"c": 1}})
    return learner


@pytest.fixture
def saved(tmp_path):
    """Learners and their names: two files, and one for each of a BalancingLearner's."""
    learners = [filled(1), adaptive.BalancingLearner([filled(2), filled(3)])]
    names = [tmp_path / "new" / "a.pickle", [tmp_path / "b.pickle", str(tmp_path / "c.pickle")]]
    save_parallel(learners, names, with_progress_bar=False)
    return learners, names


def test_learners_are_saved_and_loaded(saved):
    learners, names = saved
    fresh = [one.new() for one in learners]
    load_parallel(fresh, names, with_progress_bar=False, max_workers=1)
    assert [one.npoints for one in fresh] == [1, 5]
    plain = learners[0].new()
    plain.load(names[0])  # they are adaptive's own files
    assert plain.data == learners[0].data
    load_parallel([plain.new()], ["nowhere.pickle"])
    with pytest.raises(InputError, match="2 learners, but 1 fnames"):
        load_parallel(fresh, names[:1])


def test_fault_04_learners_that_cannot_be_saved_are_named(saved, tmp_path):
    _, names = saved
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(DataFileError, match=r"folder: .*1 more could not be saved"):
        save_parallel([filled(4)] * 3, [folder, names[0], folder], with_progress_bar=False)
    fresh = filled(4).new()
    load_parallel([fresh], names[:1])
    assert fresh.npoints == 4


def test_a_learner_that_cannot_be_pickled_is_named_when_the_others_are_saved(tmp_path):
    learners = [filled(1), filled(1), filled(1)]
    learners[0].tell((0, 0), threading.Lock())
    names = [tmp_path / name for name in "abc"]
    with pytest.raises(DataFileError, match=r"a: cannot be saved \(TypeError: cannot pickle"):
        save_parallel(learners, names, with_progress_bar=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


# ---------------------------------------------------------------------- tables


@pytest.mark.parametrize("kind", ["pickle", "csv", "json"])
def test_tables_are_saved_beside_the_data_and_loaded(kind, tmp_path):
    names = [tmp_path / "a.pickle", [tmp_path / "b.pickle", tmp_path / "c.pickle"], tmp_path / "d"]
    for name, learner in zip(
        names, (filled(2), adaptive.BalancingLearner([filled(1)])), strict=False
    ):
        save_dataframe(name, format=kind)(learner)
    assert fname_to_dataframe(names[1], kind) == tmp_path / f"dataframe.b.{kind}"
    assert fname_to_dataframe("x/a.pickle", "excel") == Path("x/dataframe.a.xlsx")
    frame = load_dataframes(names, format=kind)
    assert list(frame["y.a"]) == [0, 1, 0]
    assert list(frame["y.b.c"]) == [1, 1, 1]
    assert list(map(str, frame["fname"])) == [str(names[0])] * 2 + [str(names[1])]
    assert "Unnamed: 0" not in frame
    assert [len(one) for one in load_dataframes(names, format=kind, concat=False)] == [2, 1]
    assert load_dataframes(["nowhere"]).empty


def test_columns_have_the_names_that_are_wanted(tmp_path):
    def function(x, k=3):
        return x

    learner = adaptive.Learner1D(function, (0, 1))
    learner.tell(0.5, 1)
    save = save_dataframe(
        tmp_path / "a", x_name="X", with_default_function_args=False, atomically=False
    )
    save(learner)
    assert list(load_dataframes([tmp_path / "a"])) == ["X", "y", "fname"]
    with pytest.raises(InputError, match="format='text' is not known"):
        save_dataframe(tmp_path / "a", format="text")


def test_tables_that_cannot_be_read_are_named_and_those_of_others_refused(tmp_path):
    for name in ("a", "b"):
        save_dataframe(tmp_path / name)(filled(1))
    (tmp_path / "dataframe.a.pickle").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match=r"dataframe\.a\.pickle is left out"):
        assert len(load_dataframes([tmp_path / "a", tmp_path / "b"])) == 1
    (tmp_path / "dataframe.b.pickle").chmod(0o666)
    with pytest.raises(PermissionsError, match="other users may change it"):
        load_dataframes([tmp_path / "b"])


def test_dicts_become_columns_also_where_the_first_row_has_none():
    frame = pd.DataFrame({"x": [1, 2], "y": [None, {"a": 5}], "z": ["u", "v"]}, index=[7, 8])
    wide = expand_dict_columns(frame)
    assert list(wide) == ["x", "z", "y.a"]
    assert wide["y.a"].isna().tolist() == [True, False]
    assert wide.loc[8, "y.a"] == 5
    assert list(frame) == ["x", "y", "z"]  # as it was
    joined = expand_dict_columns(pd.concat([frame, frame]))  # has each row number twice
    assert joined["y.a"].fillna(0).tolist() == [0, 5, 0, 5]
    with pytest.raises(InputError, match=r"'y\.a' already"):
        expand_dict_columns(frame.assign(**{"y.a": 1}))


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.xlsx"
    with atomic_write(path) as file:
        file.write("old")

    def half():
        with atomic_write(path, "wb") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_text() == "old"
    with atomic_write(path, return_path=True) as temporary:
        assert temporary.suffix == path.suffix
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


# --------------------------------------------------------------------- waiting


def test_a_sleep_ends_with_its_time_a_task_or_an_event():
    async def all_three():
        forever = asyncio.ensure_future(asyncio.sleep(100))
        event = asyncio.Event()
        assert not await sleep_unless_task_is_done(forever, 0.01, event)
        event.set()
        assert not await sleep_unless_task_is_done(forever, 100, event)
        assert not event.is_set()
        assert await sleep_unless_task_is_done(asyncio.ensure_future(asyncio.sleep(0)), 100, event)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task(), forever}
        forever.cancel()

    asyncio.run(all_three())


def test_files_that_are_there_already_count_and_the_wait_ends(tmp_path):
    first, second, third = (tmp_path / name for name in "abc")
    first.touch()
    wanted = {"one": {first}, "two": {(first, second), third}}

    async def wait():
        task = track_file_creation_progress(wanted, interval=0.01)
        await asyncio.sleep(0.05)
        second.touch()
        assert not task.done()
        third.touch()
        await asyncio.wait_for(task, 10)

    asyncio.run(wait())
    assert wanted == {"one": {first}, "two": {(first, second), third}}


def test_a_script_without_a_running_loop_can_track_files(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = track_file_creation_progress({"here": {tmp_path}}, interval=0.01)
    task.get_loop().run_until_complete(task)
