from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import AttestationError
from pipelines.registry.signing import key_folder
from pipelines.registry.signing.canonical_json import MAX_BYTES
from pipelines.registry.signing.envelope import ENTRY_TYPE, STATEMENT_TYPE, Envelope, read_envelope, sign, verify
from pipelines.registry.signing.keys import KeyRing, Role, load_trusted_keys
from tests.support import proof


@pytest.mark.parametrize(
    ("role", "kind"), [("lineage", STATEMENT_TYPE), ("verdict", STATEMENT_TYPE), ("ledger", ENTRY_TYPE)]
)
def test_what_is_signed_for_a_role_is_verified_for_it(ring: KeyRing, role: Role, kind: str) -> None:
    envelope = sign(b"content", ring, role)
    assert envelope.payload_type == kind
    assert verify(read_envelope(envelope.text), ring, role) == ring.active(role)[0]


def test_an_envelope_is_read_as_it_was_written(ring: KeyRing) -> None:
    envelope = sign(b"\x00\xff any bytes", ring, "lineage")
    assert read_envelope(envelope.text) == envelope
    assert read_envelope(json.dumps(json.loads(envelope.text), indent=2)) == envelope, (
        "spaces do not matter to a reader"
    )


def test_a_signature_by_the_key_of_another_role_does_not_count(ring: KeyRing) -> None:
    with pytest.raises(AttestationError, match="may sign lineage, not verdict") as caught:
        verify(sign(b"x", ring, "lineage"), ring, "verdict")
    assert caught.value.reason == "wrong role"


def test_a_statement_is_no_ledger_entry(ring: KeyRing) -> None:
    with pytest.raises(AttestationError, match=re.escape(f"a ledger has {ENTRY_TYPE}")):
        verify(sign(b"x", ring, "lineage"), ring, "ledger")


def test_the_signature_covers_the_payload_type(ring: KeyRing, tmp_path: Path) -> None:
    key_folder.new_key(proof.ring(tmp_path).folder, "both", ("lineage", "ledger"))
    both = load_trusted_keys(tmp_path / "keys")
    signed = sign(b"x", both, "lineage")
    retyped = Envelope(signed.payload, ENTRY_TYPE, signed.keyid, signed.signature)
    with pytest.raises(AttestationError, match="was altered"):
        verify(retyped, both, "ledger")


def test_a_key_that_is_not_trusted_here_is_told_with_the_remedy(ring: KeyRing, tmp_path: Path) -> None:
    with pytest.raises(AttestationError, match=r"is not trusted here; .*elp keys export.*elp keys add") as caught:
        verify(sign(b"x", proof.ring(tmp_path), "lineage"), ring, "lineage")
    assert caught.value.reason == "unknown key"


def test_a_signature_under_the_id_of_another_key_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    forged = sign(b"x", proof.ring(tmp_path), "verdict")
    claimed = Envelope(forged.payload, forged.payload_type, ring.active("verdict")[0].keyid, forged.signature)
    with pytest.raises(AttestationError, match="was altered") as caught:
        verify(claimed, ring, "verdict")
    assert caught.value.reason == "bad signature"


def test_a_retired_key_counts_for_what_was_recorded_before(tmp_path: Path) -> None:
    ring = proof.ring(tmp_path)
    signed = sign(b"x", ring, "verdict")
    retired = key_folder.retire_key(ring.folder, "verdict")
    ring = load_trusted_keys(ring.folder)
    assert verify(signed, ring, "verdict", recorded_at="2026-01-01T00:00:00+00:00") == retired
    for moment in (retired.retired, "2999-01-01T00:00:00+00:00"):
        with pytest.raises(AttestationError, match="before this was recorded"):
            verify(signed, ring, "verdict", recorded_at=moment)


def test_a_revoked_key_counts_for_nothing(tmp_path: Path) -> None:
    ring = proof.ring(tmp_path)
    signed = sign(b"x", ring, "verdict")
    key_folder.revoke_key(ring.folder, "verdict")
    with pytest.raises(AttestationError, match="nothing it signed counts") as caught:
        verify(signed, load_trusted_keys(ring.folder), "verdict", recorded_at="2026-01-01T00:00:00+00:00")
    assert caught.value.reason == "revoked"


def _second(values: dict[str, Any]) -> None:
    values["signatures"].append(values["signatures"][0])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_second, "has 2 signatures, expected one"),
        (lambda v: v.update(signatures=[]), "has 0 signatures"),
        (lambda v: v.update(signatures={"keyid": ""}), "has 0 signatures"),
        (lambda v: v.update(signatures=["text"]), "the signature must have exactly"),
        (lambda v: v["signatures"][0].update(cert=""), "the signature must have exactly"),
        (lambda v: v["signatures"][0].pop("keyid"), "the signature must have exactly"),
        (lambda v: v["signatures"][0].update(keyid=1), "must be text"),
        (lambda v: v.update(payloadType=None), "must be text"),
        (lambda v: v.update(extra=1), "the envelope must have exactly"),
        (lambda v: v.pop("payload"), "the envelope must have exactly"),
        (lambda v: v.update(payload=1), "payload is not standard base64"),
        (lambda v: v.update(payload=v["payload"] + "\n"), "payload is not standard base64"),
        (lambda v: v.update(payload="eA"), "payload is not standard base64"),
        (lambda v: v.update(payload="eB=="), "payload is not standard base64"),
        (lambda v: v.update(payload="_-__"), "payload is not standard base64"),
        (lambda v: v.update(payload="é"), "payload is not standard base64"),
        (lambda v: v["signatures"][0].update(sig="*"), "sig is not standard base64"),
    ],
)
def test_a_malformed_envelope_is_refused(ring: KeyRing, change: Callable[[Any], None], sentence: str) -> None:
    values = json.loads(sign(b"x", ring, "lineage").text)
    change(values)
    with pytest.raises(AttestationError, match=sentence) as caught:
        read_envelope(json.dumps(values))
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no JSON"),
        ("[]", "holds a list"),
        (b"\xff\xfe", "is no JSON"),
        ('{"payload":"","payload":""}', "'payload' occurs twice"),
        ('{"payload":NaN}', "NaN is no JSON number"),
        ("[" * 100_000, "is no JSON"),
        ('{"payload":' + "9" * 5000 + "}", "is no JSON"),
        (" " * (MAX_BYTES + 1), "expected at most"),
    ],
)
def test_what_is_no_envelope_at_all_is_refused(text: str | bytes, sentence: str) -> None:
    with pytest.raises(AttestationError, match=sentence):
        read_envelope(text)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 4096])
def test_a_signature_of_another_length_is_refused(ring: KeyRing, length: int) -> None:
    signed = sign(b"x", ring, "lineage")
    with pytest.raises(AttestationError, match="was altered"):
        verify(Envelope(signed.payload, signed.payload_type, signed.keyid, bytes(length)), ring, "lineage")


@given(data=st.data())
def test_any_flipped_bit_of_payload_or_signature_is_found(ring: KeyRing, data: st.DataObject) -> None:
    values = json.loads(sign(proof.verdict().payload, ring, "verdict").text)
    place = data.draw(st.sampled_from([values, values["signatures"][0]]))
    name = "payload" if "payload" in place else "sig"
    place[name] = base64.b64encode(_flip(base64.b64decode(place[name]), data)).decode()
    with pytest.raises(AttestationError, match="was altered"):
        verify(read_envelope(json.dumps(values)), ring, "verdict")


@given(data=st.data())
def test_any_flipped_bit_of_the_text_is_found(ring: KeyRing, data: st.DataObject) -> None:
    text = sign(proof.verdict().payload, ring, "verdict").text.encode()
    with pytest.raises(AttestationError, match=r".+"):
        verify(read_envelope(_flip(text, data)), ring, "verdict")


def _flip(content: bytes, data: st.DataObject) -> bytes:
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)
