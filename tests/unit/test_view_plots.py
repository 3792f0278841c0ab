"""The data of learners as numbers to be drawn."""

from __future__ import annotations

import base64
import json
from typing import Any

import adaptive
import numpy as np
import pytest

from adaptive_scheduler.runs.views.page.plots import MOST_POINTS, PIXELS, plot_of


def told(learner: Any, points: Any, f: Any) -> Any:
    for x in points:
        learner.tell(x, f(x))
    return learner


def drawn(learner: Any) -> dict[str, Any]:
    plot = plot_of(learner)
    assert plot is not None
    json.dumps(plot, allow_nan=False)
    return plot


LINE = (-1, -0.5, 0, 0.25, 1)


def test_a_line_is_drawn_in_the_order_of_x() -> None:
    plot = drawn(told(adaptive.Learner1D(None, (-1, 1)), reversed(LINE), lambda x: x**2))
    assert plot["kind"] == "line"
    assert plot["x"] == sorted(LINE)
    assert plot["ys"] == [{"label": "y", "values": [1.0, 0.25, 0.0, 0.0625, 1.0]}]
    assert plot["text"].startswith("5 points, loss ")


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        (lambda x: np.array([x, 2 * x]), ["y 0", "y 1"]),
        (lambda x: complex(x, 1), ["real", "imaginary"]),
    ],
)
def test_vectors_and_complex_values_are_several_lines(value: Any, labels: list[str]) -> None:
    learner = adaptive.Learner1D(None, (-1, 1))
    learner.data = {x: value(x) for x in LINE}
    learner.loss = lambda real=True: float("inf")  # type: ignore[assignment,misc]
    assert [line["label"] for line in drawn(learner)["ys"]] == labels


def test_no_number_is_left_out_of_the_line() -> None:
    learner = told(adaptive.Learner1D(None, (-1, 1)), LINE, lambda x: float("nan") if x == 0 else x)
    assert drawn(learner)["ys"][0]["values"] == [-1.0, -0.5, None, 0.25, 1.0]


def test_many_points_are_thinned_and_keep_their_peaks() -> None:
    learner = adaptive.Learner1D(None, (0, 1))
    learner.data = {k / 30_000: 5.0 if k == 12_345 else 0.0 for k in range(30_000)}
    learner.loss = lambda real=True: 0.0  # type: ignore[assignment,misc]
    plot = drawn(learner)
    assert len(plot["x"]) <= MOST_POINTS + 2
    assert max(plot["ys"][0]["values"]) == 5.0
    assert plot["text"].startswith("30000 points")


def test_a_plane_is_an_image_with_its_points() -> None:
    points = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    plot = drawn(told(adaptive.Learner2D(None, [(-1, 1), (-1, 1)]), points, lambda xy: xy[0]))
    pixels = np.frombuffer(base64.b64decode(plot["data"]), np.uint8).reshape(PIXELS, PIXELS)
    assert (plot["kind"], plot["z"]) == ("image", [-1.0, 1.0])
    assert (pixels[:, 0].max(), pixels[:, -1].min()) == (0, 254)  # grows with x
    assert sorted(zip(*plot["points"], strict=True)) == sorted(points)


def test_a_plane_of_too_few_points_shows_only_these() -> None:
    plot = drawn(told(adaptive.Learner2D(None, [(-1, 1), (-1, 1)]), [(0, 0), (1, 1)], sum))
    assert set(base64.b64decode(plot["data"])) == {255}


def test_an_average_is_its_mean_over_the_samples() -> None:
    plot = drawn(told(adaptive.AverageLearner(None, atol=0.1), range(4), lambda n: float(n % 2)))
    assert [line["label"] for line in plot["ys"]] == ["mean", "mean + error", "mean - error"]
    assert plot["ys"][0]["values"] == [0.0, 0.5, 0.333333, 0.5]
    assert plot["text"].startswith("mean 0.5 ± ")


def test_a_sequence_says_how_far_it_is() -> None:
    learner = adaptive.SequenceLearner(None, range(10, 20))
    for n in (3, 1):
        learner.tell((n, n + 10), 2.0 * n)
    plot = drawn(learner)
    assert (plot["kind"], plot["x"], plot["text"]) == ("points", [1.0, 3.0], "2 of 10 points")


def test_values_that_are_no_numbers_are_told_as_text() -> None:
    learner = adaptive.SequenceLearner(None, range(3))
    learner.tell((0, 0), {"energy": 1})
    plot = drawn(learner)
    assert plot["kind"] == "text"
    assert "{'energy': 1}" in plot["text"]


def test_children_of_a_balancing_learner_are_lines_of_one_plot() -> None:
    children = [
        told(adaptive.Learner1D(None, (-1, 1)), xs, abs) for xs in ((-1, 0, 1), (-1, 0.5, 1))
    ]
    plot = drawn(adaptive.BalancingLearner(children))
    assert plot["x"] == [-1.0, 0.0, 0.5, 1.0]
    assert [line["values"] for line in plot["ys"]] == [[1.0, 0.0, None, 1.0], [1.0, None, 0.5, 1.0]]


def test_a_data_saver_shows_what_its_learner_has() -> None:
    learner = adaptive.DataSaver(adaptive.Learner1D(None, (-1, 1)), arg_picker=lambda d: d["y"])
    told(learner, LINE, lambda x: {"y": x, "more": "text"})
    assert drawn(learner)["ys"][0]["values"] == sorted(LINE)


@pytest.mark.parametrize(
    "learner",
    [adaptive.Learner1D(None, (-1, 1)), adaptive.Learner2D(None, [(-1, 1), (-1, 1)]),
     adaptive.AverageLearner(None, atol=1), adaptive.SequenceLearner(None, [1]),
     adaptive.LearnerND(None, [(-1, 1)] * 3), adaptive.AverageLearner1D(None, (-1, 1))],
    ids=lambda learner: type(learner).__name__,
)  # fmt: skip
def test_without_data_there_is_no_plot(learner: Any) -> None:
    assert plot_of(learner) is None
