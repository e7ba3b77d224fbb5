"""The signed form of a verdict: an in-toto statement with what the gate decided on one version.

The server writes the tags and the page of the version from it. Format: docs/formats/statements.md.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elp_core.config import from_dict, to_dict
from elp_core.languages import NormaliserId
from pipelines.errors import AttestationError
from pipelines.registry.in_toto import BUNDLE_DIGEST, check_prefixed, read_subject, statement_payload
from pipelines.registry.lineage import BackboneName
from pipelines.registry.policies import VoicePolicy
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.verdict import Outcome

VERDICT = "https://elp-foundry.dev/attestation/verdict/v2"
VERDICT_WITH_PAGE = "https://elp-foundry.dev/attestation/verdict/v1"
"""The form of release 0.1.0, which contained the texts of the page. It is read for ever and not written any more."""

Span = tuple[float | None, float | None]
"""An interval; None in place of an infinite bound."""


@dataclass(frozen=True)
class ChampionRef:
    """The champion that a version was compared with."""

    version: int
    bundle: str


@dataclass(frozen=True)
class Golden:
    """The golden set that decided, by tag and digest of its clip ids."""

    tag: str
    digest: str


@dataclass(frozen=True)
class EvidenceFile:
    """The file with the numbers: its path among the artifacts of the version's run, and its SHA-256 (hex)."""

    path: str
    sha256: str


@dataclass(frozen=True)
class NamedOutcome:
    """The outcome of one check, or on one recording condition or group."""

    name: str
    outcome: Outcome
    kind: str = ""
    """``group`` for a group such as ``dialect=kansai``; empty for all others, and then left out."""


@dataclass(frozen=True)
class ReportedRate:
    """An error rate that was measured on the golden set, too, and decided nothing."""

    metric: str
    """Such as ``wer`` if the CER decided."""
    challenger: float
    """A share: 0.08 is 8 %."""
    champion: float | None
    """None for a first version."""


@dataclass(frozen=True)
class VerdictDetails:
    """What a verdict rests on in addition to the numbers that decided: the server writes its pages from it."""

    champion_interval: Span | None
    margin: float
    """Allowed difference to the champion, as a share."""
    limit: float
    """Absolute limit on the metric, as a share."""
    clips: int
    """Clips of the golden set."""
    closed_set: bool
    """Whether speakers of the golden set were in the training data, by declaration."""
    slices: tuple[NamedOutcome, ...]
    """Recording conditions and groups."""
    checks: tuple[NamedOutcome, ...]
    reasons: tuple[str, ...]
    """Sentences, the deciding one first."""


@dataclass(frozen=True)
class SignedPage:
    """The texts that a verdict of release 0.1.0 contained for the version's page."""

    headline: str
    rows: tuple[tuple[str, str], ...]
    """Name and value, the verdict first."""


@dataclass(frozen=True)
class VerdictStatement:
    """The signed form of a verdict: what the gate decided on one version."""

    bundle: str
    """``sha256:…`` of the bundle that was judged."""
    slot: str
    model: str
    version: int
    outcome: Outcome
    backbone: BackboneName
    against: ChampionRef | None
    """The champion it was compared with; None if the slot had none."""
    first_version: bool
    golden: Golden
    policy: str
    """``sha256:…`` of the limits."""
    metric: str
    challenger: float | None
    """Shares: 0.08 is 8 %. None if the number is not finite."""
    champion: float | None
    delta: float | None
    interval: Span | None
    """Of `delta`."""
    evidence: EvidenceFile
    decided_at: str
    """UTC, ISO 8601."""
    challenger_interval: Span | None = None
    """Of `challenger`."""
    details: VerdictDetails | None = None
    """None in statements of release 0.1.0 only."""
    page: SignedPage | None = None
    """None but in statements of release 0.1.0."""
    normaliser: NormaliserId | None = None
    """The rule that gave transcripts and answers their form; None for English, the default."""
    also: tuple[ReportedRate, ...] = ()
    """Error rates of transcripts next to `metric`, by name; empty for other tasks."""
    voices: VoicePolicy = "report"
    """Whether a promotion waits until every enrolled voice is renewed (speaker verification)."""

    kind = "verdict"

    @property
    def fingerprint(self) -> str:
        """``sha256:…`` of the backbone."""
        return self.backbone.fingerprint

    @property
    def payload(self) -> bytes:
        """Canonical JSON: what is signed."""
        predicate = to_dict(self)
        bundle, page = predicate.pop("bundle"), predicate.pop("page")
        if self.normaliser is None:
            # verdicts on English never had this field, and their signed bytes must come out the same
            del predicate["normaliser"]
        if not self.also:
            del predicate["also"]
        if self.voices == "report":
            del predicate["voices"]
        for one in (one for name in ("slices", "checks") for one in (predicate["details"] or {}).get(name, ())):
            if not one["kind"]:
                del one["kind"]
        if page is None:
            return statement_payload(self.model, bundle, [], VERDICT, predicate)
        # that form had no such field, and the signed bytes must come out the same
        del predicate["details"]
        return statement_payload(self.model, bundle, [], VERDICT_WITH_PAGE, {**predicate, **page})


def stored_verdict(payload: bytes) -> VerdictStatement:
    """Build a verdict from a payload that was verified before it was stored; five times as quick as reading it."""
    values = json.loads(payload)
    predicate = dict(values["predicate"])
    if values["predicateType"] == VERDICT_WITH_PAGE:
        predicate["page"] = SignedPage(predicate.pop("headline"), predicate.pop("rows"))
    else:
        details = dict(predicate["details"])
        details |= {name: tuple(NamedOutcome(**one) for one in details[name]) for name in ("slices", "checks")}
        predicate["details"] = VerdictDetails(**details)
    predicate |= {
        "bundle": "sha256:" + values["subject"][0]["digest"][BUNDLE_DIGEST],
        "backbone": BackboneName(**predicate["backbone"]),
        "against": ChampionRef(**predicate["against"]) if predicate["against"] else None,
        "golden": Golden(**predicate["golden"]),
        "evidence": EvidenceFile(**predicate["evidence"]),
        "normaliser": NormaliserId(**predicate["normaliser"]) if "normaliser" in predicate else None,
        "also": tuple(ReportedRate(**one) for one in predicate.get("also", ())),
    }
    return VerdictStatement(**predicate)


def read_verdict(values: Mapping[str, Any]) -> VerdictStatement:
    """Build a verdict from the values of its statement, and check it."""
    model, bundle = read_subject(values)
    predicate = dict(values["predicate"])
    if values["predicateType"] == VERDICT_WITH_PAGE:
        predicate["page"] = {name: predicate.pop(name) for name in ("headline", "rows")}
    elif not predicate["details"]:
        raise AttestationError("malformed", "the verdict has no details")
    found = from_dict(VerdictStatement, {**predicate, "bundle": bundle}, "verdict")
    if found.model != model:
        raise AttestationError("malformed", f"the subject is {model[:80]}, the predicate is about {found.model[:80]}")
    against = (found.against.bundle,) if found.against else ()
    rule = (found.normaliser.digest,) if found.normaliser else ()
    for name in (found.fingerprint, found.policy, *against, *rule):
        check_prefixed(name, "verdict")
    moment(found.decided_at, "decided_at")
    return found
