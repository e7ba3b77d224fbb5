"""Keys, statements and ledgers for tests: real signatures by throw-away keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.registry.ledger.entry import Head, LedgerEntry, LedgerRow, Principal, sign_entry
from pipelines.registry.lineage import BackboneName
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.statements import LineageStatement, Material
from pipelines.registry.verdict_statement import (
    ChampionRef,
    EvidenceFile,
    Golden,
    NamedOutcome,
    VerdictDetails,
    VerdictStatement,
)

DETAILS = VerdictDetails(
    champion_interval=(0.07, 0.11),
    margin=0.02,
    limit=0.5,
    clips=200,
    closed_set=False,
    slices=(NamedOutcome("quiet", "passed"),),
    checks=(NamedOutcome("no clip in training", "passed"),),
    reasons=("WER changed by no more than is allowed",),
)
"""What a verdict statement holds in addition to the numbers that decided."""

BUNDLE, FINGERPRINT = "sha256:" + "b" * 64, "sha256:" + "f" * 64


def ring(folder: Path) -> KeyRing:
    """A folder with a key for each role."""
    return ensure_keys(folder / "keys")


def verdict(**over: Any) -> VerdictStatement:
    """A passed verdict on version 3 of plant-a/asr against version 2."""
    base = VerdictStatement(
        bundle=BUNDLE,
        slot="plant-a/asr",
        model="elp.plant-a.asr",
        version=3,
        outcome="passed",
        backbone=BackboneName("elp:tiny", FINGERPRINT),
        against=ChampionRef(2, "sha256:" + "a" * 64),
        first_version=False,
        golden=Golden("golden/plant-a/asr/v1", "sha256:" + "e" * 64),
        policy="sha256:" + "c" * 64,
        metric="wer",
        challenger=0.08,
        champion=0.09,
        delta=-0.01,
        interval=(-0.02, 0.005),
        evidence=EvidenceFile("gate/v3-abc/evidence.json", "0" * 64),
        decided_at="2026-01-02T00:00:00.000000+00:00",
        details=DETAILS,
    )
    return replace(base, **over)


def lineage(**over: Any) -> LineageStatement:
    """The lineage of a bundle of plant-a/asr."""
    base = LineageStatement(
        model="elp.plant-a.asr",
        bundle=BUNDLE,
        files={"adapter_model.safetensors": "1" * 64, "lineage.json": "2" * 64},
        asked={"slot": "plant-a/asr", "dataset": "data/plant-a/asr/v1", "golden": "", "config": {}, "seed": 0},
        given={"key": "k1"},
        materials=(
            Material("dataset", {"gitCommit": "a" * 40, "dvcMd5": "d" * 32}, uri="/repository"),
            Material("backbone", {"elpFingerprint": "f" * 64}, uri="elp:tiny"),
        ),
        versions={"elp-foundry": "0.1.0"},
        run="r1",
        finished="2026-01-01T00:00:00+00:00",
    )
    return replace(base, **over)


def entry(head: Head, **over: Any) -> LedgerEntry:
    """The entry after `head`, a second later than it."""
    values: dict[str, Any] = {
        "event": "gated",
        "slot": "plant-a/asr",
        "before": None,
        "after": 1,
        "bundle": BUNDLE,
        "principal": Principal("ann", False, "127.0.0.1"),
        "reason": "",
        "at": f"2026-01-01T00:{head.seq // 60:02d}:{head.seq % 60:02d}.000000+00:00",
    }
    return LedgerEntry(seq=head.seq + 1, prev=head.hash, **{**values, **over})


def chain(keys: KeyRing, length: int, begin: Sequence[LedgerRow] = ()) -> list[LedgerRow]:
    """A good ledger, or `begin` with `length` entries more."""
    rows = list(begin)
    for _ in range(length):
        rows.append(sign_entry(entry(head_of(rows)), keys))
    return rows


def head_of(rows: Sequence[LedgerRow]) -> Head:
    """Number and hash of the newest entry."""
    return Head(rows[-1].seq, rows[-1].hash) if rows else Head()
