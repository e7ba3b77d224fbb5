from __future__ import annotations

import math
import re
from datetime import UTC, datetime

import pytest

from pipelines.errors import AttestationError
from pipelines.registry.signing.canonical_json import (
    MAX_BYTES,
    canonical_json,
    moment,
    parse_canonical_json,
    parse_json,
    sha256,
    utc_now,
)


def test_the_spelling_has_sorted_keys_no_spaces_and_utf_8() -> None:
    assert (
        canonical_json({"b": [1, 2.5], "a": "gr\u00fcn", "c": None})
        == '{"a":"gr\u00fcn","b":[1,2.5],"c":null}'.encode()
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", {1, 2}], ids=["nan", "infinity", "surrogate", "set"])
def test_a_value_that_json_cannot_express_is_refused(value: object) -> None:
    with pytest.raises(AttestationError, match="this cannot be written as JSON"):
        canonical_json({"a": value})


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b'{"a":1,"a":2}', "place: key 'a' occurs twice in one object"),
        (b'{"b":{"a":1,"a":1}}', "place: key 'a' occurs twice in one object"),
        (b'{"a":NaN}', "place: NaN is no JSON number"),
        (b'{"a":-Infinity}', "place: -Infinity is no JSON number"),
        (b"{", "place is no JSON: "),
        (b"\xff", "place is no JSON: "),
        (b"[1]", "place holds a list, expected an object"),
        (b" " * (MAX_BYTES + 1), f"place has {MAX_BYTES + 1} bytes, expected at most {MAX_BYTES}"),
    ],
    ids=["twice", "twice inside", "nan", "infinity", "cut off", "not utf-8", "a list", "too long"],
)
def test_a_text_that_is_no_strict_object_is_refused(raw: bytes, sentence: str) -> None:
    for read in (parse_json, parse_canonical_json):
        with pytest.raises(AttestationError, match=re.escape(sentence)) as refused:
            read(raw, "place")
        assert refused.value.reason == "malformed"


def test_text_and_bytes_are_read_alike_up_to_the_limit() -> None:
    longest = b'{"a":1}' + b" " * (MAX_BYTES - 7)
    assert parse_json(longest, "place") == parse_json(longest.decode(), "place") == {"a": 1}
    assert parse_canonical_json(b'{"a":1}', "place") == {"a": 1}
    with pytest.raises(AttestationError, match=r"place is not canonical JSON \(sorted keys, no spaces, UTF-8\)"):
        parse_canonical_json(b'{"a": 1}', "place")


def test_moments_have_an_offset() -> None:
    assert moment("2026-11-28T01:02:03+00:00", "at") == datetime(2026, 11, 28, 1, 2, 3, tzinfo=UTC)
    for text, fault in (("2026-11-28T01:02:03", "has no offset from UTC"), ("noon", "is no ISO 8601 moment")):
        with pytest.raises(AttestationError, match=f"at: '{text}' {fault}"):
            moment(text, "at")
    now = utc_now()
    assert moment(now, "at").tzinfo == UTC
    assert len(now) == len("2026-11-28T01:02:03.000000+00:00")
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
