"""Signed statements about an adapter bundle: its lineage (SLSA provenance v1) and a gate's verdict (in-toto v1).

A statement is frozen, and its payload is canonical JSON: equal statements have equal digests, and `parse_statement`
returns exactly what was rendered or refuses it. Format: docs/formats/statements.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError
from pipelines.errors import AttestationError
from pipelines.registry.lineage import BackboneName, TrainedClips, TrainerHardware, read_known
from pipelines.registry.signing.canonical_json import canonical_json, moment, parse_canonical_json, sha256
from pipelines.registry.verdict import Outcome

STATEMENT = "https://in-toto.io/Statement/v1"
LINEAGE = "https://slsa.dev/provenance/v1"
VERDICT = "https://elp-foundry.dev/attestation/verdict/v2"
VERDICT_WITH_PAGE = "https://elp-foundry.dev/attestation/verdict/v1"
"""The form of release 0.1.0, which contained the texts of the page. It is read for ever and not written any more."""
TRAINING = "https://elp-foundry.dev/attestation/training/v1"
BUILDER = "https://elp-foundry.dev/attestation/trainer/v1"
"""in-toto uses URIs as names. No page has to exist at these addresses."""

BUNDLE_DIGEST = "elpBundle"
"""Name of the digest algorithm of a bundle: SHA-256 of its manifest."""

Span = tuple[float | None, float | None]
"""An interval; None in place of an infinite bound."""

_PREFIXED = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Material:
    """An input of a training, named by digest (an in-toto ResourceDescriptor)."""

    name: str
    """dataset, golden, backbone, code, packages or clips."""
    digest: Mapping[str, str]
    """Hexadecimal digits by algorithm."""
    uri: str = ""
    annotations: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LineageStatement:
    """The signed form of a lineage: what a bundle was made from, and by which trainer."""

    model: str
    """Registered model: ``elp.<site>.<task>``."""
    bundle: str
    """``sha256:…`` of the bundle."""
    files: Mapping[str, str]
    """SHA-256 (hex) by file name."""
    asked: Mapping[str, Any]
    """The request: slot, dataset, golden set, config, seed (SLSA's external parameters)."""
    given: Mapping[str, Any]
    """What the trainer added: training key, counts of clips, hardware (SLSA's internal parameters)."""
    materials: tuple[Material, ...]
    versions: Mapping[str, str]
    """Of the trainer."""
    run: str
    """MLflow run that trained it."""
    finished: str
    """UTC, ISO 8601."""

    kind = "lineage"

    @property
    def fingerprint(self) -> str:
        """``sha256:…`` of the backbone."""
        return "sha256:" + self.material("backbone").digest["elpFingerprint"]

    @property
    def dataset(self) -> str:
        """Tag of the dataset version."""
        return str(self.asked["dataset"])

    @property
    def golden(self) -> str:
        """Tag of the golden set that was kept out of training; empty if the slot had none."""
        return str(self.asked.get("golden", ""))

    @property
    def config(self) -> Mapping[str, Any]:
        """Configuration of adapter, training and task."""
        return dict(self.asked.get("config", {}))

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.asked.get("seed", 0))

    @property
    def key(self) -> str:
        """Training key."""
        return str(self.given.get("key", ""))

    @property
    def flow_run(self) -> str:
        """Prefect flow run; empty outside a flow."""
        return str(self.given.get("flow_run", ""))

    @cached_property
    def training(self) -> TrainedClips:
        """The clips that the training used."""
        return read_known(TrainedClips, self.given.get("training", {}), "training")

    @cached_property
    def hardware(self) -> TrainerHardware:
        """The machine that trained."""
        return read_known(TrainerHardware, self.given.get("hardware", {}), "hardware")

    def material(self, name: str) -> Material:
        """Return the material of this name.

        Raises:
            AttestationError: The statement has no such material.
        """
        found = next((material for material in self.materials if material.name == name), None)
        if found is None:
            raise AttestationError("malformed", f"the lineage of {self.bundle} names no {name}")
        return found

    @property
    def payload(self) -> bytes:
        """Canonical JSON: what is signed."""
        files = [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(self.files.items())]
        predicate = {
            "buildDefinition": {
                "buildType": TRAINING,
                "externalParameters": dict(self.asked),
                "internalParameters": dict(self.given),
                "resolvedDependencies": [_resource(material) for material in self.materials],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": dict(self.versions)},
                "metadata": {"invocationId": self.run, "finishedOn": self.finished},
            },
        }
        return _statement(self.model, self.bundle, files, LINEAGE, predicate)


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
    """The outcome of one check, or on one recording condition."""

    name: str
    outcome: Outcome


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
    """Recording conditions."""
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
        if page is None:
            return _statement(self.model, bundle, [], VERDICT, predicate)
        del predicate["details"]
        return _statement(self.model, bundle, [], VERDICT_WITH_PAGE, {**predicate, **page})


Statement = LineageStatement | VerdictStatement


def statement_digest(statement: Statement) -> str:
    """Return the SHA-256 (hex) of the payload, by which the ledger and the server name the statement."""
    return sha256(statement.payload)


def parse_statement(payload: bytes) -> Statement:
    """Read a statement of either kind; the law: ``parse_statement(s.payload) == s``, and nothing else is read.

    Raises:
        AttestationError: The payload is not such a statement; the reason is ``malformed``.
    """
    values = parse_canonical_json(payload, "statement")
    kind = values.get("predicateType")
    if values.get("_type") != STATEMENT or kind not in (LINEAGE, VERDICT, VERDICT_WITH_PAGE):
        raise AttestationError(
            "malformed", f"not an in-toto Statement v1 of a lineage or a verdict: {str(kind)[:80]!r}"
        )
    try:
        found = _lineage(values) if kind == LINEAGE else _verdict(values)
        same = found.payload == payload
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise AttestationError(
            "malformed", f"the statement lacks something or has it in another form: {error!r}"
        ) from error
    except ConfigError as error:
        raise AttestationError("malformed", str(error)) from error
    if not same:
        raise AttestationError("malformed", "the statement has fields or spellings that this format does not have")
    return found


def stored_verdict(payload: bytes) -> VerdictStatement:
    """Build a verdict from a payload that was verified before it was stored; five times as quick as `parse_statement`.

    Raises:
        KeyError, TypeError, ValueError: The payload is not a verdict.
    """
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
    }
    return VerdictStatement(**predicate)


def _statement(model: str, bundle: str, files: list[dict[str, Any]], kind: str, predicate: Mapping[str, Any]) -> bytes:
    subject = {"name": model, "digest": {BUNDLE_DIGEST: bundle.removeprefix("sha256:")}}
    return canonical_json(
        {"_type": STATEMENT, "subject": [subject, *files], "predicateType": kind, "predicate": dict(predicate)}
    )


def _resource(material: Material) -> dict[str, Any]:
    return {name: value for name, value in to_dict(material).items() if value}


def _subject(values: Mapping[str, Any]) -> tuple[str, str]:
    first = values["subject"][0]
    return str(first["name"]), _prefixed("sha256:" + str(first["digest"][BUNDLE_DIGEST]), "subject")


def _lineage(values: Mapping[str, Any]) -> LineageStatement:
    model, bundle = _subject(values)
    build, details = values["predicate"]["buildDefinition"], values["predicate"]["runDetails"]
    materials = tuple(from_dict(Material, entry, "material") for entry in build["resolvedDependencies"])
    found = LineageStatement(
        model=model,
        bundle=bundle,
        files={entry["name"]: entry["digest"]["sha256"] for entry in values["subject"][1:]},
        asked=dict(build["externalParameters"]),
        given=dict(build["internalParameters"]),
        materials=materials,
        versions=dict(details["builder"]["version"]),
        run=details["metadata"]["invocationId"],
        finished=details["metadata"]["finishedOn"],
    )
    for digests in (*(material.digest for material in materials), found.files):
        for name, value in digests.items():
            if not _HEX.fullmatch(value):
                raise AttestationError("malformed", f"digest {name} is {value[:80]!r}, expected hexadecimal digits")
    if len({material.name for material in materials}) != len(materials):
        raise AttestationError("malformed", "the lineage names a material twice")
    _prefixed(found.fingerprint, "backbone")
    moment(found.finished, "finishedOn")
    found.asked["dataset"]
    return found


def _verdict(values: Mapping[str, Any]) -> VerdictStatement:
    model, bundle = _subject(values)
    predicate = dict(values["predicate"])
    if values["predicateType"] == VERDICT_WITH_PAGE:
        predicate["page"] = {name: predicate.pop(name) for name in ("headline", "rows")}
    elif not predicate["details"]:
        raise AttestationError("malformed", "the verdict has no details")
    found = from_dict(VerdictStatement, {**predicate, "bundle": bundle}, "verdict")
    if found.model != model:
        raise AttestationError("malformed", f"the subject is {model[:80]}, the predicate is about {found.model[:80]}")
    against = (found.against.bundle,) if found.against else ()
    for name in (found.fingerprint, found.policy, *against):
        _prefixed(name, "verdict")
    moment(found.decided_at, "decided_at")
    return found


def _prefixed(text: str, where: str) -> str:
    if not _PREFIXED.fullmatch(text):
        raise AttestationError("malformed", f"{where}: {text[:80]!r} is no sha256:<64 hexadecimal digits>")
    return text
