"""A sweep's file: its documents, the tasks they stand for, their commands; and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from adaptive_scheduler.core.sweeps.gpu_slots import numbered, visible_devices
from adaptive_scheduler.core.sweeps.slots import as_shape, missing_gpus, read_resource
from adaptive_scheduler.core.sweeps.sweep_file import SweepFile, check_file
from adaptive_scheduler.core.sweeps.tasks import Selection, SweepTask, tasks_of, unused
from adaptive_scheduler.core.sweeps.templates import complete, shown
from adaptive_scheduler.core.sweeps.yaml_text import read_documents
from adaptive_scheduler.errors import InputError

THE_ISSUE = """
template:
  train: python train.py {file} [lr] --out {_output}
  test: python test.py {file}
resource: [0, 1]
default: {wd: 0.1}
---
_title: machine1
file: [text.txt.0, text.txt.1]
lr: [0.1, 0.01]
---
_title: machine2
file: [text.txt.2]
lr: 0.1
"""


def read(text: str) -> SweepFile:
    return check_file(read_documents(text, "params.yaml"), "params.yaml")


def tasks(text: str, **wanted: Any) -> list[SweepTask]:
    return tasks_of(read(text), Selection(**wanted), lambda _: False)


def texts(template: str, parameters: str, first: str = "") -> list[str]:
    """The commands of one template."""
    made = tasks(f"template:\n  it: {template}\n{first}\n---\n{parameters}")
    return [shown(one.commands["it"]) for one in made]


def test_the_file_of_the_issue() -> None:
    made = tasks(THE_ISSUE)
    assert [one.name for one in made] == [
        "File_text.txt.0-Lr_0.1", "File_text.txt.0-Lr_0.01", "File_text.txt.1-Lr_0.1",
        "File_text.txt.1-Lr_0.01", "File_text.txt.2-Lr_0.1",
    ]  # fmt: skip
    assert made[1].parameters == {"wd": 0.1, "file": "text.txt.0", "lr": 0.01}
    train = "python train.py text.txt.0 --lr 0.01 --out {_output}"
    assert [shown(one) for one in made[1].commands.values()] == [train, "python test.py text.txt.0"]
    assert [one.name for one in tasks(THE_ISSUE, title="machine2")] == ["File_text.txt.2-Lr_0.1"]
    assert unused(read(THE_ISSUE), made) == ["wd"]


def test_one_1_point_0_true_and_a_text_are_four_tasks() -> None:
    made = tasks('template: {a: "echo [x]"}\n---\nx: [1, 1.0, true, "1", 1]')
    assert [one.commands["a"] for one in made] == [
        "echo --x 1",
        "echo --x 1.0",
        "echo --x",
        "echo --x 1",
    ]
    names = [one.name for one in made]
    assert len(set(names)) == 4
    assert names[2] == "X_T"
    assert all(
        name.startswith("X_1-") and len(name) == 10 for name in [names[0], names[1], names[3]]
    )


def test_the_same_task_of_two_documents_is_one_with_the_commands_of_both() -> None:
    text = """
template: {a: "echo {x}", b: "echo b {x}"}
default: {y: 2}
---
x: 1
_cmd: [a]
---
{x: 1, y: 2, _cmd: b}
"""
    (made,) = tasks(text)
    assert (made.name, list(made.commands)) == ("X_1", ["a", "b"])


def test_a_name_does_not_depend_on_the_title_that_is_run() -> None:
    text = "template: {a: 'echo {x}'}\n---\n{_title: one, x: d/f}\n---\n{_title: two, x: d_f}"
    both = [one.name for one in tasks(text)]
    assert [one.name for title in ("one", "two") for one in tasks(text, title=title)] == both
    assert both[0] != both[1]


def test_fault_45_a_sample_is_the_same_one_again_without_repetition_in_the_file_s_order() -> None:
    text = "template: {a: 'echo {x} {y}'}\n---\nx: [1, 2, 3, 4]\ny: [1, 2, 3, 4]"
    every = [one.name for one in tasks(text)]
    drawn = [one.name for one in tasks(text, sample=5)]
    assert drawn == [one.name for one in tasks(text, sample=5)]
    assert drawn == sorted(set(drawn), key=every.index)
    assert len(drawn) == 5
    assert drawn != [one.name for one in tasks(text, sample=5, seed=1)]
    assert [one.name for one in tasks(text, sample=99)] == every


def test_a_sample_of_very_many_combinations_takes_no_time() -> None:
    choices = "\n".join(f"p{n}: {list(range(100))}" for n in range(20))
    text = f"template: {{a: 'echo [p0]'}}\n---\n{choices}"
    assert len(tasks(text, sample=7)) == 7
    with pytest.raises(InputError, match="--sample 1000"):
        tasks(text)


@pytest.mark.parametrize(
    ("template", "parameters", "expected"),
    [
        ("\"awk '{print $1}' {x}\"", "x: f", "awk '{print $1}' f"),
        ("\"{'a': {x}}\"", "x: 1", "{'a': 1}"),
        ("'{{x}}'", "x: 1", "{1}"),
        ("'[ -f x ] && [[ -n a ]] && echo {x}'", "x: 1", "[ -f x ] && [[ -n a ]] && echo 1"),
        ("'echo ${x} ${HOME} {1..3} a[0] {x}'", "x: 1", "echo ${x} ${HOME} {1..3} a[0] 1"),
        (r"'echo \[x] \{x} {x}'", "x: 1", "echo [x] {x} 1"),
        ("'echo {x}'", "x: a b", "echo 'a b'"),
        ("'echo [x]'", "x: a'b", "echo --x 'a'\"'\"'b'"),
        ("'echo {x}'", "x: '[y] {y}'", "echo '[y] {y}'"),
        ("'echo {x}'", "x: 1.0e-5", "echo 1e-05"),
        ("'echo {x}'", "x: 1e-5", "echo 1e-5"),
        ("'echo {x}'", "x: 2026-01-02", "echo 2026-01-02"),
        ("'echo [x] [y]'", "{x: true, y: false}", "echo --x "),
        ("'echo [x-y_z]'", "x-y_z: -3", "echo --x-y_z -3"),
        ("|\n    echo {x}\n    echo b", "x: 1", "echo 1 echo b"),
        ("'echo {_gpus} [_name]'", "x: 1", "echo {_gpus} --_name {_name}"),
    ],
)
def test_placeholders(template: str, parameters: str, expected: str) -> None:
    assert texts(template, parameters) == [expected]


def test_raw_parameters_are_not_quoted() -> None:
    assert texts("'echo {x} [y]'", "{x: '$HOME *', y: a b}", "raw: [x]") == [
        "echo $HOME * --y 'a b'"
    ]


ALIASES = """
alias:
  dim: [enc-dim, dec-dim]
  arch: {pre: {norm: true, act: relu}, post: {norm: false, act: gelu}}
"""


def test_an_alias_in_the_older_dialect_stands_in_the_template() -> None:
    found = texts("'run [dim] [arch]'", "{dim: 5, arch: [pre, post]}", ALIASES)
    assert found == [
        "run --enc-dim 5 --dec-dim 5 --norm --act relu",
        "run --enc-dim 5 --dec-dim 5 --act gelu",
    ]


@pytest.mark.parametrize("kind", ["alias", "pack"])
def test_an_alias_in_the_newer_dialect_and_a_pack_stand_for_parameters(kind: str) -> None:
    text = (
        "template: {a: 'run [enc-dim] [dec-dim] [norm] {act}'}\ndefault: {act: tanh}"
        f"{ALIASES.replace('alias', kind)}---\ndim: 5\narch: [pre, post]"
    )
    made = tasks(text)
    assert [one.commands["a"] for one in made] == [
        "run --enc-dim 5 --dec-dim 5 --norm relu", "run --enc-dim 5 --dec-dim 5  gelu",
    ]  # fmt: skip
    assert [one.name for one in made] == ["Dim_5-Arch_pre", "Dim_5-Arch_post"]


def test_keys_of_an_alias_keep_their_kind() -> None:
    first = "alias: {a: {'1': {x: text}, 1: {x: number}}}"
    assert texts("echo {x}", "a: [1, '1']", first) == ["echo number", "echo text"]


def test_reserved_names_get_their_values_last() -> None:
    made = tasks("template: {a: 'run {x} {_output} [_index] {_gpus}'}\n---\nx: '{_output}'")
    text = complete(made[0].commands["a"], {"_output": "o p", "_index": 3}, {"_gpus"})
    assert text == "run '{_output}' 'o p' --_index 3 \0_gpus\0"


FIRST = "template: {a: 'run {x}'}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1", "must be a mapping"),
        ("", "must be a mapping"),
        ("{", "is no YAML"),
        ("a: 1\na: 2", "line 2, column 1 is no YAML: the key 'a' is there twice"),
        (FIRST + "---\nx: &a [[*a]]", "recursive"),
        ("x: !!python/name:os.system", "no YAML"),
        ("templte: {a: b}\n---\nx: 1", "'templte'. Did you mean template?"),
        ("resource: [0]\n---\nx: 1", "there is no command"),
        ("template: {}\n---\nx: 1", "there is no command"),
        ("template: {a: ''}\n---\nx: 1", "nothing to run"),
        ("template: {a: true}\n---\nx: 1", "put quotes around it"),
        ("template: {on: b}\n---\nx: 1", "the name True is no text"),
        ("template: {a/b: b}\n---\nx: 1", "part of a file's name"),
        (FIRST, "no document of parameters"),
        (FIRST + "---\n[1]", "must be a mapping"),
        (FIRST + "---\nx: []", "x is an empty list"),
        (FIRST + "---\nno: 1", "the name False is no text"),
        (FIRST + '---\nx: "a\\0b"', "has a NUL"),
        (FIRST + "---\nx: !!binary aGk=", "no number, text or truth value"),
        (FIRST + "---\n_cmd: tain\nx: 1", "there is no command tain"),
        (FIRST + "---\n_name: 1", "reserved name"),
        (
            FIRST + "---\nxx: 1",
            "{x} has no value. Did you mean xx? Give x in the document or in default",
        ),
        (FIRST + "---\nx: true", "{x} is true, and a truth value is an option: write [x]"),
        (FIRST + "---\nx: null", "the value of x is null"),
        (FIRST + "---\nx: [[1]]", "the value of x is [1]"),
        ("template: {a: '{x} [x]'}\n---\nx: 1", "{x} and [x] are both there"),
        (FIRST + "default: [1]\n---\nx: 1", "default: [1] must be a mapping"),
        (FIRST + "raw: {x: 1}\n---\nx: 1", "raw: the name"),
        (FIRST + "timeout: 10\n---\nx: 1", None),
        (FIRST + "timeout: -1\n---\nx: 1", "timeout"),
        (FIRST + "timeout: {b: 1h}\n---\nx: 1", "timeout: there is no command b"),
        (FIRST + "timeout: {1: 1h}\n---\nx: 1", "timeout: the name 1 is no text"),
        (
            FIRST + "---\nx: 1\n_titel: a",
            "there is no _titel, and no template has it. Did you mean _title?",
        ),
        (FIRST + "---\nx: 1\n_commands: a", "reserved name"),
        (FIRST + "---\nx: 1\n_title:", None),
        ("template: {a: 'run {_x}'}\n---\n_x: 1", None),
        (FIRST + "raw: y\n---\nx: 1", "raw: no template has y"),
        ("template: {a: 'run {x}'}\nraw: x\nalias: {y: [x]}\n---\ny: 1", None),
        (FIRST + '---\nx: "\\ud800"', "is no Unicode text"),
        (FIRST + f"---\nx: 0x{'f' * 4000}", "the number is too long"),
        (f"template: {{{'a' * 51}: b}}\n---\nx: 1", "at most 50"),
        (FIRST + "alias: {y: 1}\n---\nx: 1", "alias y: 1 must be a list"),
        (FIRST + "alias: {y: {a: {x: 1}}}\n---\ny: b", 'y has no value "b"'),
        (FIRST + "pack: {x: [z]}\n---\nx: 1", "pack x: a template has it"),
        (FIRST + "pack: {y: [z]}\nalias: {y: [z]}\n---\nx: 1", "in alias and in pack"),
    ],
)
def test_bad_files_are_refused_by_name(text: str, words: str | None) -> None:
    if words is None:
        assert tasks(text)
        return
    with pytest.raises(InputError) as caught:
        tasks(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("y: 1", "{x} has no value"),
        ("x: true", "{x} is true"),
        ("x: 1\nz: b", 'z has no value "b"'),
        (f"x: {list(range(1001))}\ny: {list(range(1000))}", "1,001,000 combinations"),
        ("x: []", "x is an empty list"),
        ('x: "\\0"', "has a NUL"),
    ],
)
@pytest.mark.parametrize("title", ["", "m"])
def test_what_is_wrong_with_a_task_is_said_with_its_file_and_document(
    parameters: str, words: str, title: str
) -> None:
    text = FIRST + f"pack: {{z: {{a: {{w: 1}}}}}}\n---\nx: 1\n---\n_title: {title}\n{parameters}"
    with pytest.raises(InputError) as caught:
        tasks(text)
    message = str(caught.value)
    assert message.startswith("params.yaml")
    assert f"document 3{title and f' ({title})'}: " in message
    assert words in message


def test_a_title_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        InputError,
        match=r"no document has this one. Did you mean machine2 or machine1.* There are: machine1, machine2",
    ):
        tasks(THE_ISSUE, title="machine")


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ([0, 1], ["0", "1"]),
        (["0,1"], ["0,1"]),
        ([[0, 1]], ["0,1"]),
        ([0, 1, 0, 1], ["0", "1", "0", "1"]),
        (3, ["3"]),
        (["GPU-8a", ""], ["GPU-8a", ""]),
    ],
)
def test_resources_are_slots(resource: Any, expected: list[str]) -> None:
    found = read_resource(resource)
    assert found == expected
    names = numbered(expected)
    assert len(set(names)) == len(names)
    assert [visible_devices([one]) for one in names] == expected


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ([], "empty list"),
        ([True], "True is no GPU"),
        ([0.5], "0.5 is no GPU"),
        ([-1], "-1 is no GPU"),
        (["1,"], "'1,' has an empty number, or one twice. Write"),
        ([[0, 0]], "'0,0' has an empty number, or one twice. Write"),
        ({"gpu_per_node": 4}, "there is no gpu_per_node. Did you mean `gpus_per_node`"),
        ({"gpus_per_node": "x"}, "resource"),
        ({"gpus_per_node": 1, "gpus_per_task": 2}, "none could ever begin"),
        ({"cores_per_task": 8, "cores_per_node": 4}, "none could ever begin"),
        ({"nodes_per_task": 2}, "but a job only 1"),
        ({"gpus_per_node": 2}, "no command would get a GPU. Give gpus_per_task"),
        ({"cores_per_task": 0}, "at least 1"),
    ],
)
def test_resources_that_make_no_sense_are_refused(resource: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_resource(resource)


def test_gpus_that_the_machine_does_not_have_are_named() -> None:
    assert missing_gpus(["0,7", "GPU-x"], ["0", "1"]) == ["7"]
    assert missing_gpus(["7"], []) == []


def test_slots_become_the_shape_of_a_job() -> None:
    assert (as_shape(["0", "1"]).cores, as_shape(["0", "1"]).gpus_per_node) == (2, 2)
    assert (as_shape(["0,1", "2,3"]).gpus_per_task, as_shape(["0,1", "2,3"]).gpus_per_node) == (
        2,
        4,
    )
    shared = as_shape(["0", "1", "0", "1"])
    assert (shared.gpus_per_node, shared.gpus_per_task, shared.cores) == (2, 0.5, 4)
    with pytest.raises(InputError, match="different kinds"):
        as_shape(["0", "1,2"])


def test_an_empty_document_counts() -> None:
    """As the lines of the file do: "document 3" was the fourth one."""
    with pytest.raises(InputError, match=r"params.yaml: document 4: x is an empty list"):
        read("template: {a: 'b {x}'}\n---\n---\nx: 1\n---\nx: []\n")
    assert len(tasks("---\n---\ntemplate: {a: 'b {x}'}\n---\nx: 1\n---\n")) == 1
