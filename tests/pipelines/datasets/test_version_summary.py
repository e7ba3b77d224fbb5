"""The figures of a version: each clip is counted once, in a column that holds its value."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets.clip_table import ClipFilter, read_clip_table
from pipelines.datasets.dataset_version import Delivery
from pipelines.datasets.version_summary import count_clips, histogram
from pipelines.server.pages.change_words import change_words
from pipelines.texts.message_catalogue import texts

VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=200)


@given(VALUES, st.sampled_from([0.05, 0.5, 1.0]))
def test_every_value_is_in_the_column_that_covers_it(values: list[float], least: float) -> None:
    found = histogram("x", "s", np.array(values), least)
    assert found is not None
    assert sum(found.counts) == len(values)
    assert len(found.counts) <= 27
    assert found.step >= least
    assert found.counts[0] > 0
    assert found.counts[-1] > 0
    slack = 1e-9 * max(1.0, abs(found.first), found.step)
    assert found.first - slack <= min(values)
    assert max(values) <= found.first + len(found.counts) * found.step + slack


@pytest.mark.parametrize(("values", "least", "step", "first"), [([0.0, 24.0], 0.05, 1.0, 0.0), ([3, 3], 1.0, 1.0, 3.0)])
def test_steps_are_round_numbers(values: list[float], least: float, step: float, first: float) -> None:
    found = histogram("x", "s", np.array(values), least)
    assert found is not None
    assert (found.step, found.first) == (step, first)


def test_values_that_are_no_numbers_are_not_drawn() -> None:
    assert histogram("x", "s", np.array([np.nan, np.inf]), 1.0) is None
    found = histogram("x", "s", np.array([np.nan, 2.0, -np.inf]), 1.0)
    assert found is not None
    assert found.counts == (1,)


def table(**columns: list[object]) -> pa.Table:
    rows = len(columns["split"])
    usual = {"speaker": ["ann"] * rows, "label": [""] * rows, "condition": [""] * rows, "text": [""] * rows}
    usual["group"] = ["dialect=kansai; gender=f", *[""] * (rows - 1)]
    numbers = {"duration": [1.0] * rows, "rms_db": [-20.0] * rows, "snr_db": [30.0] * rows}
    return pa.table({"id": [f"{n}" for n in range(rows)], **usual, **numbers, **columns})


def test_splits_count_clips_seconds_speakers_labels_and_words() -> None:
    figures = count_clips(
        table(
            split=["test", "train", "train", "train"],
            speaker=["eve", "ann", "ben", ""],
            label=["go", "go", "stop", ""],
            text=["one", "two  three", "", "四五"],
            duration=[1.0, 2.0, 0.5, 0.25],
        )
    )
    assert [line.name for line in figures.splits] == ["train", "test"]
    train = figures.splits[0]
    assert (train.clips, train.seconds, train.speakers, train.labels) == (3, 2.75, 2, 2)
    assert (train.words, train.characters) == (3, 12)
    assert [(line.name, line.clips, line.splits) for line in figures.labels] == [
        ("go", 2, {"test": 1, "train": 1}),
        ("stop", 1, {"train": 1}),
    ]
    assert [line.name for line in figures.speakers] == ["ann", "ben", "eve"]
    assert figures.conditions == ()
    assert [(line.name, line.clips, line.splits) for line in figures.groups] == [
        ("dialect=kansai", 1, {"test": 1}),
        ("gender=f", 1, {"test": 1}),
    ]
    assert [one.title for one in figures.histograms] == [
        "Duration",
        "Level",
        "Signal-to-noise ratio",
        "Length of the transcript",
    ]


def test_a_version_without_files_has_no_figure_and_an_empty_page() -> None:
    clips = read_clip_table((), frozenset())
    assert clips.figures.splits == clips.figures.histograms == ()
    assert clips.page(ClipFilter(text="x", split="train", order="longest first"), 0, 50) == (0, [])


@pytest.mark.parametrize(
    ("importer", "clips", "words"),
    [
        ("drop", -2, "2 clips dropped for good"),
        ("correct", 0, "3 clips corrected"),
        ("resplit", 0, "3 clips moved to another split"),
        ("readmit", 0, "a dropped clip may come again"),
        ("renormalise", -1, "transcripts normalised again, 1 clip moved to quarantine"),
        ("nemo", 1, "1 new clip from may (nemo), 5 clips delivered, 9.0 s read, 3 clips known already"),
    ],
)
def test_a_change_is_said_in_words(importer: str, clips: int, words: str) -> None:
    delivery = Delivery("k", "may", "/x", importer, {}, 5, clips, 9.0, 0, 3, 2, "2026-01-01T00:00:00+00:00")
    assert change_words(texts("en"), delivery) == words
