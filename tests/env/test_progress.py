"""What is read from a run's output, however it is cut and whatever else is in it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.lifecycle.progress import MAX_POINTS, MetricsTail, Progress
from runner.metrics import TrainMetrics, parse_train_metrics

LINE = "TRAIN_METRICS: step=8000, train_loss=2.6466, val_loss=2.3673"


def test_a_line_is_read() -> None:
    assert parse_train_metrics(LINE + "\n") == TrainMetrics(8000, 2.6466, 2.3673)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "TRAIN_METRICS:",
        LINE + " and more",
        "x" + LINE,
        LINE.replace("8000", "-1"),
        LINE.replace("8000", "8" * 20),
        LINE.replace("2.6466", "2.6466.1"),
        LINE.replace("2.6466", "infinity"),
        LINE.replace("2.6466", "0x10"),
        LINE.replace("2.6466", "１"),
        LINE.replace("2.6466", "1_000"),
    ],
)
def test_any_other_line_is_not(line: str) -> None:
    assert parse_train_metrics(line) is None


def test_nan_is_read_as_not_finite() -> None:
    point = parse_train_metrics(LINE.replace("2.6466", "nan"))
    assert point is not None
    assert not point.finite
    assert math.isnan(point.train_loss)


@given(st.lists(st.integers(1, 40), max_size=30))
def test_lines_are_found_however_the_output_is_cut(cuts: list[int]) -> None:
    points = [TrainMetrics(step, 3.5, 3.25) for step in range(8)]
    output = "".join(f"noise \x1b[0m é\n{point}\n" for point in points).encode()
    tail = MetricsTail()
    for cut in cuts:
        tail.feed(output[:cut])
        output = output[cut:]
    tail.feed(output)
    assert tail.series == points


def test_a_huge_line_costs_no_memory_and_hides_only_itself() -> None:
    tail = MetricsTail()
    tail.feed(LINE.encode())
    for _ in range(100):
        tail.feed(b"x" * 65536)
        assert len(tail._partial) <= 4096
    tail.feed(b"\n" + LINE.encode() + b"\n")
    assert tail.series == [TrainMetrics(8000, 2.6466, 2.3673)]


def test_a_flood_of_metrics_is_bounded() -> None:
    tail = MetricsTail()
    tail.feed((LINE + "\n").encode() * (MAX_POINTS + 500))
    assert len(tail.series) == MAX_POINTS


def test_time_left_follows_from_the_rate_so_far() -> None:
    live = Progress(total_steps=200, started_at=1000.0)
    assert live.eta_s(1010.0) is None
    live.tail.feed(b"TRAIN_METRICS: step=50, train_loss=3.0, val_loss=3.0\n")
    assert live.eta_s(1010.0) == 30.0
    live.tail.feed(b"TRAIN_METRICS: step=999, train_loss=3.0, val_loss=3.0\n")  # a lie leaves nothing negative
    assert live.eta_s(1010.0) == 0.0
