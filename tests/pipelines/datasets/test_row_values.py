from __future__ import annotations

import math
from typing import Any

import pytest

from pipelines.datasets.importers.row_values import (
    channel_value,
    language_value,
    refuse_times,
    seconds_value,
    text_value,
)


@pytest.mark.parametrize("value", [None, math.nan, "", "  ", "\u3000"])
def test_null_nan_empty_and_blank_are_missing(value: object) -> None:
    faults: list[str] = []
    row = {"text": value, "offset": value, "channel": value, "lang": value, "start": value}
    refuse_times(row, faults)
    found = text_value(row, ("text",), faults), seconds_value(row, "offset", faults), channel_value(row, faults)
    assert (found, language_value(row, faults), faults) == (("", None, None), "", [])


@pytest.mark.parametrize(
    ("value", "text"),
    [("yes", "yes"), (7, "7"), (7.0, "7"), (-0.0, "0"), (7.5, "7.5"), ("7.0", "7.0"), ("nan", "nan"), ("null", "null")],
)
def test_text_and_numbers_are_text(value: object, text: str) -> None:
    assert text_value({"text": value}, ("text",), []) == text


@pytest.mark.parametrize(
    ("value", "says"),
    [(True, "true"), (False, "false"), ([], "a list"), ({}, "an object"), (math.inf, "inf"), (1e20, "1e+20")],
)
def test_other_types_are_a_fault(value: object, says: str) -> None:
    faults: list[str] = []
    assert text_value({"text": value}, ("text",), faults) == ""
    assert faults == [f"text is {says}, expected a text"]


def test_the_first_key_with_a_value_counts() -> None:
    assert text_value({"text": None, "sentence": "yes"}, ("text", "sentence"), []) == "yes"


@pytest.mark.parametrize(("value", "seconds"), [(1, 1.0), ("1.5", 1.5), (" 0,298 ", 0.298), ("1e-1", 0.1), (0, 0.0)])
def test_seconds(value: object, seconds: float) -> None:
    assert seconds_value({"offset": value}, "offset", []) == seconds


@pytest.mark.parametrize("value", ["soon", -1, "-0.1", True, [1], math.inf, "inf", "1_0", "0x10", 10**400, "1e999"])
def test_what_is_no_number_of_seconds_is_a_fault(value: object) -> None:
    faults: list[str] = []
    assert seconds_value({"offset": value}, "offset", faults) is None
    assert len(faults) == 1
    assert "expected a number of seconds" in faults[0]


@pytest.mark.parametrize(
    ("row", "channel"),
    [
        ({"channel": 1}, 1),
        ({"channel_selector": 0}, 0),
        ({"channel": "1"}, 1),
        ({"channel": 1.0}, 1),
        ({"channel": "Left"}, 0),
        ({"channel_selector": [1]}, 1),
        ({"channel": 1, "channel_selector": 1}, 1),
    ],
)
def test_one_channel_is_obeyed(row: dict[str, Any], channel: int) -> None:
    assert channel_value(row, []) == channel


@pytest.mark.parametrize("value", ["average", [0, 1], -1, 99, True, "telephone", 0.5, {}, "１", [[0]]])
@pytest.mark.parametrize("key", ["channel", "channel_selector"])
def test_any_other_channel_is_refused_by_name(key: str, value: object) -> None:
    faults: list[str] = []
    assert channel_value({key: value}, faults) is None
    assert len(faults) == 1
    assert faults[0].startswith(f"{key} is ")


def test_two_channels_that_differ_are_refused() -> None:
    faults: list[str] = []
    channel_value({"channel": 0, "channel_selector": 1}, faults)
    assert faults == ["channel is 0 and channel_selector is 1; keep one"]


@pytest.mark.parametrize("key", ["start", "end", "offset_end", "start_time"])
def test_other_names_of_times_are_refused_by_name(key: str) -> None:
    faults: list[str] = []
    refuse_times({key: 1.5}, faults)
    assert len(faults) == 1
    assert faults[0].startswith(f"{key} is not read; name a part of a file with offset and duration")


@pytest.mark.parametrize("row", [{"source_lang": "en", "target_lang": "de"}, {"taskname": "s2t_translation"}])
def test_a_translation_is_refused(row: dict[str, Any]) -> None:
    faults: list[str] = []
    language_value(row, faults)
    assert "a translation is no transcript" in faults[0]


@pytest.mark.parametrize("row", [{"lang": "de"}, {"locale": " de "}, {"source_lang": "de", "target_lang": "DE"}])
def test_a_language_is_named(row: dict[str, Any]) -> None:
    assert language_value(row, []).lower() == "de"
