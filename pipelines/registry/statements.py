"""What is signed: in-toto Statements v1 on an adapter bundle, its lineage (SLSA provenance v1) and a gate's verdict.

A statement is frozen, and its payload is the one canonical JSON of it: equal statements have equal digests, and `parse`
gives back exactly what was rendered or refuses. Format: docs/formats/statements.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError
from pipelines.errors import AttestationError
from pipelines.registry.signing.canonical_json import canonical_json, moment, parse_canonical_json, sha256

STATEMENT = "https://in-toto.io/Statement/v1"
LINEAGE = "https://slsa.dev/provenance/v1"
VERDICT = "https://elp-foundry.dev/attestation/verdict/v1"
TRAINING = "https://elp-foundry.dev/attestation/training/v1"
BUILDER = "https://elp-foundry.dev/attestation/trainer/v1"
"""Names, as in-toto wants URIs for names; no page need be there."""

BUNDLE_DIGEST = "elpBundle"
"""Name of the digest algorithm of a bundle: SHA-256 of its manifest."""

Outcome = Literal["passed", "failed", "undecided"]

_PREFIXED = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Material:
    """Something a bundle was made from, named by digest (an in-toto ResourceDescriptor)."""

    name: str
    """dataset, golden, backbone, code, packages or clips."""
    digest: Mapping[str, str]
    """Hexadecimal digits by algorithm."""
    uri: str = ""
    annotations: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LineageStatement:
    """What a bundle was made from, by whom it was trained."""

    model: str
    """Registered model: ``elp.<site>.<task>``."""
    bundle: str
    """``sha256:…`` of the bundle."""
    files: Mapping[str, str]
    """SHA-256 (hex) by file name."""
    asked: Mapping[str, Any]
    """What was asked for: slot, dataset, golden set, config, seed (SLSA's external parameters)."""
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

    def material(self, name: str) -> Material:
        """The material of this name.

        Raises:
            AttestationError: where the statement names none.
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
class Named:
    """A backbone by id and fingerprint (``sha256:…``)."""

    id: str
    fingerprint: str


@dataclass(frozen=True)
class Against:
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
    """Where the numbers lie: path among the artifacts of the version's run, and SHA-256 (hex) of that file."""

    path: str
    sha256: str


@dataclass(frozen=True)
class VerdictStatement:
    """What the gate decided on one version. The fields, less `bundle`, are the predicate."""

    bundle: str
    """``sha256:…`` of the bundle that was judged."""
    slot: str
    model: str
    version: int
    outcome: Outcome
    backbone: Named
    against: Against | None
    """The champion it was compared with; None where the slot had none."""
    first_version: bool
    golden: Golden
    policy: str
    """``sha256:…`` of the limits."""
    metric: str
    challenger: float | None
    """Shares: 0.08 is 8 %. None where the number is not finite."""
    champion: float | None
    delta: float | None
    interval: tuple[float | None, float | None] | None
    """Of `delta`."""
    evidence: EvidenceFile
    headline: str
    """One sentence for people."""
    rows: tuple[tuple[str, str], ...]
    """Name and value for people, the verdict first."""
    decided_at: str
    """UTC, ISO 8601."""
    challenger_interval: tuple[float | None, float | None] | None = None
    """Of `challenger`."""

    kind = "verdict"

    @property
    def fingerprint(self) -> str:
        """``sha256:…`` of the backbone."""
        return self.backbone.fingerprint

    @property
    def payload(self) -> bytes:
        """Canonical JSON: what is signed."""
        predicate = to_dict(self)
        return _statement(self.model, predicate.pop("bundle"), [], VERDICT, predicate)


Statement = LineageStatement | VerdictStatement


def statement_digest(statement: Statement) -> str:
    """SHA-256 (hex) of the payload: the name of the statement everywhere."""
    return sha256(statement.payload)


def parse_statement(payload: bytes) -> Statement:
    """Read a statement of either kind; the law: ``parse(s.payload) == s``, and nothing else is read.

    Raises:
        AttestationError: with reason ``malformed``, naming what is wrong.
    """
    values = parse_canonical_json(payload, "statement")
    kind = values.get("predicateType")
    if values.get("_type") != STATEMENT or kind not in (LINEAGE, VERDICT):
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
    found = from_dict(VerdictStatement, {**values["predicate"], "bundle": bundle}, "verdict")
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
