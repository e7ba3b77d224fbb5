"""Statements that prove nothing: forged, unsigned, replayed, signed by the wrong key."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.registry.signing import key_folder
from pipelines.registry.signing.canonical_json import canonical_json
from pipelines.registry.signing.envelope import ENTRY_TYPE, STATEMENT_TYPE, Envelope, sign
from pipelines.registry.signing.keys import KeyRing, load_trusted_keys, write_keys
from tests.support.contest import CHAMPION, FAILED, FORMER, OUTDATED, PASSED, UNGATED, Contest
from tests.support.rest import Answer
from tests.support.versions_by_hand import ELP, evidence, gate, lineage_of, posted, upload, verdict_on

ALTERED = "is invalid: the payload or the signature was altered"
FIELDS = "the envelope must have exactly the fields payload, payloadType, signatures"
NOT_CANONICAL = "statement is not canonical JSON"
NOT_OURS = "not an in-toto Statement v1 of a lineage or a verdict"
OTHER_FORM = "the statement lacks something or has it in another form"


def _passed(contest: Contest, version: int = UNGATED, **changes: Any) -> bytes:
    return replace(verdict_on(contest.made[version], "passed", contest.made[CHAMPION]), **changes).payload


def _post(contest: Contest, envelope: str | dict[str, Any], version: int = UNGATED) -> Answer:
    values = envelope if isinstance(envelope, dict) else json.loads(envelope)
    body = {"model": contest.model, "version": version, "envelope": values}
    return contest.rest("POST", f"{ELP}/statements", body)


def _refused(contest: Contest, answer: Answer, *words: str, version: int = UNGATED) -> None:
    """Check that the statement is refused with these words, and that the version still may not become champion."""
    contest.refused(answer, *words)
    why = "was never gated" if version == UNGATED else "the gate's verdict is failed"
    contest.refused(contest.alias(version), f"{contest.slot} v{version}", why)


def test_unsigned(contest: Contest) -> None:
    payload = base64.b64encode(_passed(contest)).decode()
    answer = _post(contest, {"payload": payload, "payloadType": STATEMENT_TYPE, "signatures": []})
    _refused(contest, answer, "the statement is not accepted: the envelope has 0 signatures, expected one")


def test_signed_by_a_key_that_is_not_trusted(contest: Contest, tmp_path: Path) -> None:
    mine = sign(_passed(contest), key_folder.ensure_keys(tmp_path), "verdict")
    _refused(contest, _post(contest, mine.text), f"key {mine.keyid} is not trusted here")
    trusted = contest.keys.active("verdict")[-1].keyid
    _refused(contest, _post(contest, replace(mine, keyid=trusted).text), ALTERED)


def test_a_verdict_signed_by_a_key_of_another_role(contest: Contest) -> None:
    signed = sign(_passed(contest), contest.keys, "lineage")
    assert signed.payload_type == STATEMENT_TYPE
    _refused(contest, _post(contest, signed.text), "key lineage (", "may sign lineage, not verdict")


def test_an_entry_of_the_ledger_sent_as_a_statement(contest: Contest) -> None:
    signed = sign(_passed(contest), contest.keys, "ledger")
    assert signed.payload_type == ENTRY_TYPE
    _refused(
        contest, _post(contest, signed.text), f"the payload type is '{ENTRY_TYPE}', a verdict has {STATEMENT_TYPE}"
    )
    _refused(contest, _post(contest, replace(signed, payload_type=STATEMENT_TYPE).text), ALTERED)


def _another_signature(envelope: Envelope, contest: Contest) -> dict[str, Any]:
    values = json.loads(envelope.text)
    values["signatures"] += json.loads(sign(envelope.payload, contest.keys, "lineage").text)["signatures"]
    return values


CHANGES: dict[str, tuple[Callable[[Envelope, Contest], str | dict[str, Any]], str]] = {
    "outcome": (lambda e, c: replace(e, payload=e.payload.replace(b'"failed"', b'"passed"')).text, ALTERED),
    "a space": (lambda e, c: replace(e, payload=e.payload.replace(b":", b": ", 1)).text, NOT_CANONICAL),
    "payload type": (
        lambda e, c: replace(e, payload_type="application/json").text,
        "payload type is 'application/json'",
    ),
    "signature cut": (lambda e, c: replace(e, signature=e.signature[:-1]).text, ALTERED),
    "signature of zeros": (lambda e, c: replace(e, signature=bytes(64)).text, ALTERED),
    "two signatures": (_another_signature, "the envelope has 2 signatures, expected one"),
    "one signature twice": (
        lambda e, c: {**json.loads(e.text), "signatures": json.loads(e.text)["signatures"] * 2},
        "the envelope has 2 signatures, expected one",
    ),
    "an added field": (lambda e, c: {**json.loads(e.text), "outcome": "passed"}, FIELDS),
    "base64 with a line end": (
        lambda e, c: {**json.loads(e.text), "payload": json.loads(e.text)["payload"] + "\n"},
        "the envelope's payload is not standard base64",
    ),
    "no payload": (lambda e, c: {k: v for k, v in json.loads(e.text).items() if k != "payload"}, FIELDS),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_true_verdict_altered(contest: Contest, change: str) -> None:
    payload = verdict_on(contest.made[FAILED], "failed", contest.made[CHAMPION], "2026-02-02T00:00:00+00:00").payload
    alter, words = CHANGES[change]
    answer = _post(contest, alter(sign(payload, contest.keys, "verdict"), contest), FAILED)
    _refused(contest, answer, words, version=FAILED)


def _extra_subject(contest: Contest) -> bytes:
    values = json.loads(_passed(contest, PASSED))
    other = json.loads(_passed(contest, UNGATED))["subject"]
    return canonical_json({**values, "subject": [*other, *values["subject"]]})


def _twice(contest: Contest) -> bytes:
    return _passed(contest).replace(b'"outcome":"passed"', b'"outcome":"failed","outcome":"passed"')


_VERSION = f'"version":{UNGATED}'.encode()
SIGNED_NONSENSE: dict[str, tuple[Callable[[Contest], bytes], str]] = {
    "two subjects": (_extra_subject, "the statement has fields or spellings that this format does not have"),
    "no subject": (lambda c: canonical_json({**json.loads(_passed(c)), "subject": []}), OTHER_FORM),
    "a key twice": (_twice, "key 'outcome'"),
    "another predicate": (
        lambda c: _passed(c).replace(b"/attestation/verdict/v", b"/attestation/verdict/v9"),
        NOT_OURS,
    ),
    "another type": (lambda c: _passed(c).replace(b"Statement/v1", b"Statement/v0.1"), NOT_OURS),
    "an added field": (
        lambda c: canonical_json(
            {**json.loads(_passed(c)), "predicate": {**json.loads(_passed(c))["predicate"], "force": True}}
        ),
        "unknown key force",
    ),
    "not canonical": (lambda c: json.dumps(json.loads(_passed(c)), indent=1).encode(), NOT_CANONICAL),
    "no JSON": (lambda c: b"passed", "statement is no JSON"),
    "nothing": (lambda c: b"", "statement is no JSON"),
    "version as text": (lambda c: _passed(c).replace(_VERSION, b'"version":"5"'), "version is '5', expected int"),
    "version as a fraction": (lambda c: _passed(c).replace(_VERSION, _VERSION + b".0"), "version is 5.0, expected int"),
    "true for a version": (lambda c: _passed(c).replace(_VERSION, b'"version":true'), "version is True, expected int"),
}


@pytest.mark.parametrize("nonsense", SIGNED_NONSENSE)
def test_signed_nonsense(contest: Contest, nonsense: str) -> None:
    make, words = SIGNED_NONSENSE[nonsense]
    answer = _post(contest, sign(make(contest), contest.keys, "verdict").text)
    _refused(contest, answer, "the statement is not accepted: ", words)


OTHER_SUBJECTS: dict[str, tuple[Callable[[Contest], dict[str, Any]], str]] = {
    "another version": (lambda c: {"version": PASSED}, "the verdict is about v3, it was sent for v5"),
    "another bundle": (lambda c: {"bundle": c.made[PASSED].bundle}, "the statement is about the bundle sha256:"),
    "another slot": (
        lambda c: {"model": "elp.elsewhere.asr", "slot": "elsewhere/asr"},
        "the statement is about elp.elsewhere.asr, it was sent for",
    ),
    "another slot's name only": (
        lambda c: {"slot": "elsewhere/asr"},
        "the verdict is about the slot elsewhere/asr, not",
    ),
    "another backbone": (
        lambda c: {
            "backbone": replace(verdict_on(c.made[UNGATED], "passed", None).backbone, fingerprint="sha256:" + "0" * 64)
        },
        "the verdict is about the backbone sha256:000000000000…",
    ),
}


def test_a_good_signature_on_a_verdict_about_something_else(own_contest: Contest) -> None:
    contest = own_contest
    # the evidence is there, so that each verdict is refused for its own reason
    upload(contest.rest, contest.made[UNGATED].evidence, evidence(contest.made[UNGATED]))
    for changes, words in OTHER_SUBJECTS.values():
        signed = sign(_passed(contest, **changes(contest)), contest.keys, "verdict")
        _refused(contest, _post(contest, signed.text), words)
    assert contest.champion() == CHAMPION


OTHER_CHAMPIONS: dict[str, tuple[Callable[[Contest], dict[str, Any]], str]] = {
    "an older champion": (
        lambda c: {"against": verdict_on(c.made[OUTDATED], "passed", c.made[FORMER]).against},
        "passed against v1",
    ),
    "no champion": (lambda c: {"against": None, "first_version": True}, "passed against no champion"),
    "the champion's number, other bytes": (
        lambda c: {
            "against": replace(verdict_on(c.made[5], "passed", c.made[2]).against, bundle=c.made[FORMER].bundle)
        },
        "passed against v2",
    ),
    "a champion to come": (
        lambda c: {"against": replace(verdict_on(c.made[5], "passed", c.made[2]).against, version=99)},
        "passed against v99",
    ),
}


def test_a_verdict_against_another_champion_is_recorded_and_promotes_nothing(own_contest: Contest) -> None:
    contest = own_contest
    upload(contest.rest, contest.made[UNGATED].evidence, evidence(contest.made[UNGATED]))
    for changes, words in OTHER_CHAMPIONS.values():
        _post(contest, sign(_passed(contest, **changes(contest)), contest.keys, "verdict").text).must_be(200)
        contest.refused(contest.alias(UNGATED), words, "but now there is v2")
        contest.refused(contest.ask("promote", version=UNGATED), words, "but now there is v2")
    assert contest.champion() == CHAMPION


def test_a_true_verdict_posted_for_another_version(contest: Contest) -> None:
    signed = sign(_passed(contest, PASSED), contest.keys, "verdict")
    _refused(contest, _post(contest, signed.text), "the verdict is about v3, it was sent for v5")


def test_an_old_pass_posted_again_after_a_failure(own_contest: Contest) -> None:
    contest = own_contest
    payload = verdict_on(contest.made[PASSED], "passed", contest.made[CHAMPION]).payload
    failed = verdict_on(contest.made[PASSED], "failed", contest.made[CHAMPION], "2026-03-03T00:00:00+00:00").payload
    _post(contest, sign(failed, contest.keys, "verdict").text, PASSED).must_be(200)
    # it is recorded already, so that nothing changes
    _post(contest, sign(payload, contest.keys, "verdict").text, PASSED).must_be(200)
    contest.refused(contest.alias(PASSED), "failed")
    again = verdict_on(contest.made[PASSED], "passed", contest.made[CHAMPION], "2026-02-02T00:00:00+00:00").payload
    contest.refused(_post(contest, sign(again, contest.keys, "verdict").text, PASSED), "newer")
    contest.refused(contest.alias(PASSED), "failed")


def test_signed_by_a_key_that_has_ended(own_contest: Contest, tmp_path: Path) -> None:
    contest = own_contest
    for number, (end, words) in enumerate(
        ((key_folder.retire_key, "was retired at"), (key_folder.revoke_key, "was revoked at"))
    ):
        thief = key_folder.new_key(tmp_path / f"keys-{number}", f"gate-{contest.mark}-{number}", ("verdict",))
        stolen = load_trusted_keys(tmp_path / f"keys-{number}")
        _trust(contest, stolen)
        end(contest.server.keys, thief.keyid)
        _refused(contest, _post(contest, sign(_passed(contest), stolen, "verdict").text), words)
    assert contest.champion() == CHAMPION


def test_a_verdict_recorded_before_its_key_was_revoked(own_contest: Contest, tmp_path: Path) -> None:
    contest = own_contest
    thief = key_folder.new_key(tmp_path / "keys", f"gate-{contest.mark}", ("verdict",))
    stolen = load_trusted_keys(tmp_path / "keys")
    _trust(contest, stolen)
    gate(contest.rest, contest.made[UNGATED], "passed", contest.made[CHAMPION], stolen)
    key_folder.revoke_key(contest.server.keys, thief.keyid)
    contest.refused(contest.alias(UNGATED), "the verdict on", "does not count", "was revoked at")
    assert contest.champion() == CHAMPION


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bundle": "sha256:" + "0" * 64}, "the statement is about the bundle sha256:000000000000…"),
        ({"model": "elp.elsewhere.asr"}, "the statement is about elp.elsewhere.asr, it was sent for"),
    ],
    ids=["bundle", "model"],
)
def test_a_second_lineage_for_a_version(contest: Contest, change: dict[str, Any], words: str) -> None:
    payload = replace(lineage_of(contest.made[PASSED]), **change).payload
    contest.refused(_post(contest, sign(payload, contest.keys, "lineage").text, PASSED), words)


NO_OBJECT = "the body is no JSON object"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        *((body, NO_OBJECT) for body in (b"", b"null", b"[]", b'"text"', b"[" * 10_000, b"\xff\xfe")),
        (b"{}", "the body lacks model, version, envelope"),
        (b'{"model": 1, "version": "x", "envelope": []}', "must be a whole number, got 'x'"),
        (b'{"model": "elp.x.asr", "version": 99999999999999999999999, "envelope": {}}', "must be a whole number"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_body_that_is_no_statement(contest: Contest, body: bytes, sentence: str) -> None:
    answer = contest.rest("POST", f"{ELP}/statements", body=body, headers={"Content-Type": "application/json"})
    answer.must_be(400, sentence)


def test_a_statement_of_a_hundred_megabytes(contest: Contest) -> None:
    body = b'{"model": "' + b"x" * 100_000_000 + b'"}'
    answer = contest.rest("POST", f"{ELP}/statements", body=body, headers={"Content-Type": "application/json"})
    answer.must_be(400, "the body has 100000013 bytes, expected at most 16777216")


def _trust(contest: Contest, ring: KeyRing) -> None:
    key_folder.add_keys(contest.server.keys, write_keys(ring.keys), "a thief's key, trusted until it was found out")


def test_a_verdict_on_a_version_that_does_not_exist(contest: Contest) -> None:
    ghost = replace(contest.made[UNGATED], version=99)
    body = posted(
        ghost, sign(verdict_on(ghost, "passed", contest.made[CHAMPION]).payload, contest.keys, "verdict").text
    )
    contest.rest("POST", f"{ELP}/statements", body).must_be(404, "version=99) not found")
