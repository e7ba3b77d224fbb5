"""A sealed template opens with its key, as the record that was sealed, and in no other way."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import TemplateError
from pipelines.registry.slot import Slot
from pipelines.registry.voice_template import (
    OpenedTemplate,
    TemplateQuality,
    VoiceTemplate,
    new_voice,
    open_template,
    person_digest,
    seal,
    unrenewed,
)

KEY = bytes(range(32))
CONTENT = OpenedTemplate("Anna Ito", (0.6, -0.8))
BARE = VoiceTemplate(
    voice="0" * 32,
    slot="plant-a/asv",
    person="1" * 64,
    version=3,
    bundle="sha256:" + "a" * 64,
    fingerprint="sha256:" + "b" * 64,
    quality=TemplateQuality(3, 7.25, 0.91, True),
    consent="form 2026-114",
    at="2026-11-29T09:00:00.000000+00:00",
)
SEALED = seal(KEY, BARE, CONTENT)


def test_a_template_opens_with_its_key_and_shows_nothing_without() -> None:
    opened = open_template(KEY, SEALED)
    assert opened.name == "Anna Ito"
    assert opened.embedding == pytest.approx((0.6, -0.8))
    assert b"Anna" not in base64.b64decode(SEALED.sealed)
    assert "Anna" not in str(SEALED.to_json())
    assert VoiceTemplate.from_json(SEALED.to_json()) == SEALED
    # the same content is never the same bytes
    assert seal(KEY, BARE, CONTENT).sealed != SEALED.sealed


@pytest.mark.parametrize(
    "over",
    [
        {"voice": "2" * 32},
        {"slot": "plant-b/asv"},
        {"person": "2" * 64},
        {"version": 4},
        {"bundle": "sha256:" + "c" * 64},
        {"fingerprint": "sha256:" + "c" * 64},
        {"quality": TemplateQuality(3, 7.25, 0.99, True)},
        {"consent": "form 1"},
        {"at": "2026-11-29T09:00:00.000001+00:00"},
    ],
    ids=lambda over: next(iter(over)),
)
def test_a_record_that_was_changed_does_not_open(over: dict[str, Any]) -> None:
    with pytest.raises(TemplateError, match="does not open: it was altered, or sealed with another key"):
        open_template(KEY, replace(SEALED, **over))


@given(st.data())
def test_bytes_that_were_changed_do_not_open(data: st.DataObject) -> None:
    content = bytearray(base64.b64decode(SEALED.sealed))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.booleans())
    altered = base64.b64encode(bytes(content[:place] if cut else content)).decode()
    with pytest.raises(TemplateError, match="does not open"):
        open_template(KEY, replace(SEALED, sealed=altered))


def test_another_key_and_a_revoked_template_do_not_open() -> None:
    with pytest.raises(TemplateError, match="sealed with another key"):
        open_template(os.urandom(32), SEALED)
    with pytest.raises(TemplateError, match="was revoked at 2026-11-30T00:00:00 UTC; enrol the speaker again"):
        open_template(KEY, replace(SEALED, sealed="", revoked_at="2026-11-30T00:00:00+00:00"))
    with pytest.raises(TemplateError, match="has 3 bytes, expected 32"):
        open_template(b"abc", SEALED)


def test_a_person_has_one_pseudonym_in_a_slot_and_another_one_elsewhere() -> None:
    slot = Slot("plant-a", "asv")
    anna = person_digest(KEY, slot, "Anna")
    assert anna == person_digest(KEY, slot, "  anna ")
    others = {
        person_digest(KEY, slot, "Bert"),
        person_digest(KEY, Slot("plant-b", "asv"), "Anna"),
        person_digest(os.urandom(32), slot, "Anna"),
    }
    assert len(others | {anna}) == 4
    with pytest.raises(TemplateError, match="a voice needs the name of its speaker"):
        person_digest(KEY, slot, "  ")


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"voice": "x"}, "voice is 'x', expected 32 hex digits"),
        ({"person": ""}, "person is ''"),
        ({"bundle": "sha256:1"}, "bundle is 'sha256:1'"),
        ({"fingerprint": "md5:1"}, "fingerprint is 'md5:1'"),
        ({"version": 0}, "version is 0, expected 1 or more"),
        ({"consent": " "}, "with a reference of the consent"),
        ({"consent": "x" * 201}, "more than 200 characters"),
        ({"more": 1}, "more"),
        ({"quality": 7}, "quality"),
    ],
)
def test_what_is_no_template_is_refused(over: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence):
        VoiceTemplate.from_json({**SEALED.to_json(), **over})


def test_the_voices_without_a_template_of_a_bundle() -> None:
    other = replace(SEALED, voice=new_voice())
    renewed = replace(SEALED, bundle="sha256:" + "c" * 64, version=4)
    gone = replace(SEALED, voice=new_voice(), revoked_at="2026-11-30T00:00:00+00:00", sealed="")
    templates = [SEALED, other, renewed, gone]
    assert unrenewed(templates, SEALED.bundle) == set()
    assert unrenewed(templates, renewed.bundle) == {other.voice}
    assert unrenewed(templates, "sha256:" + "d" * 64) == {SEALED.voice, other.voice}
