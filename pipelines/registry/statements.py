"""Signed statements about an adapter bundle: its lineage (SLSA provenance v1), and the reader of both kinds.

A statement is frozen, and its payload is canonical JSON: equal statements have equal digests, and `parse_statement`
returns exactly what was rendered or refuses it. Format: docs/formats/statements.md.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from pipelines.errors import AttestationError
from pipelines.registry.in_toto import STATEMENT, check_prefixed, read_subject, statement_payload
from pipelines.registry.lineage import (
    BackboneOrigin,
    LearnedFrom,
    TrainedClips,
    TrainedLanguage,
    TrainerHardware,
    TrainingStart,
    read_known,
)
from pipelines.registry.plain_json import shape_fault
from pipelines.registry.signing.canonical_json import moment, parse_canonical_json
from pipelines.registry.verdict_statement import VERDICT, VERDICT_WITH_PAGE, VerdictStatement, read_verdict

LINEAGE = "https://slsa.dev/provenance/v1"
TRAINING = "https://elp-foundry.dev/attestation/training/v1"
BUILDER = "https://elp-foundry.dev/attestation/trainer/v1"
"""in-toto uses URIs as names. No page has to exist at these addresses."""

_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Material:
    """An input of a training, named by digest (an in-toto ResourceDescriptor)."""

    name: str
    """dataset, golden, backbone, code, packages, clips, units or parent; of further adapters parent-1, parent-2 …"""
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
    def backbone_origin(self) -> BackboneOrigin:
        """Licence, source and pre-training data of the backbone; empty if nothing recorded them at the training."""
        return read_known(BackboneOrigin, self.material("backbone").annotations, "backbone")

    @property
    def dataset(self) -> str:
        """Tag of the dataset version."""
        return str(self.asked["dataset"])

    # one by one, since a signed part that cannot be read must not hide the others from an audit
    @property
    def golden(self) -> str:
        """Tag of the golden set that was kept out of training; empty if the slot had none."""
        return str(self.asked.get("golden", ""))

    @property
    def key(self) -> str:
        """Training key."""
        return str(self.given.get("key", ""))

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.asked.get("seed", 0))

    @property
    def config(self) -> Mapping[str, Any]:
        """Configuration of adapter, training and task."""
        return dict(self.asked.get("config", {}))

    @property
    def flow_run(self) -> str:
        """Prefect flow run; empty outside a flow."""
        return str(self.given.get("flow_run", ""))

    @property
    def training(self) -> TrainedClips:
        """The clips that the training used."""
        return read_known(TrainedClips, self.given.get("training", {}), "training")

    @property
    def hardware(self) -> TrainerHardware:
        """The machine that trained."""
        return read_known(TrainerHardware, self.given.get("hardware", {}), "hardware")

    @property
    def language(self) -> TrainedLanguage:
        """The language and the units of the head; empty for English letters, the default."""
        return read_known(TrainedLanguage, self.given.get("language", {}), "language")

    @property
    def start(self) -> TrainingStart:
        """Where the tensors started; empty if that was fresh, as it was set."""
        return read_known(TrainingStart, self.given.get("start", {}), "start")

    @property
    def inputs(self) -> str:
        """Training key of the same inputs with a fresh start."""
        return str(self.start.inputs or self.key)

    @property
    def learned(self) -> tuple[LearnedFrom, ...]:
        """The adapters that it learned from: each material with the digest of a bundle."""
        found = []
        for one in self.materials:
            if digest := one.digest.get("elpBundle", ""):
                # a head with more units names its champion alone, which is one of the same slot
                known = one.annotations or {"slot": str(self.asked.get("slot", "")), "role": "units"}
                found.append(read_known(LearnedFrom, {**known, "bundle": f"sha256:{digest}"}, one.name))
        return tuple(found)

    def digest_of(self, material: str, algorithm: str) -> str:
        """Return the digits that the statement names for a material; empty if it names none."""
        return next((one.digest.get(algorithm, "") for one in self.materials if one.name == material), "")

    def material(self, name: str) -> Material:
        """Return the material of this name; raise AttestationError if there is none."""
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
                # without empty fields, as in-toto's ResourceDescriptor has them
                "resolvedDependencies": [{k: v for k, v in vars(found).items() if v} for found in self.materials],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": dict(self.versions)},
                "metadata": {"invocationId": self.run, "finishedOn": self.finished},
            },
        }
        return statement_payload(self.model, self.bundle, files, LINEAGE, predicate)


Statement = LineageStatement | VerdictStatement


def parse_statement(payload: bytes) -> Statement:
    """Read a statement of either kind; the law: ``parse_statement(s.payload) == s``, and nothing else is read."""
    values = parse_canonical_json(payload, "statement")
    kind = values.get("predicateType")
    if values.get("_type") != STATEMENT or kind not in (LINEAGE, VERDICT, VERDICT_WITH_PAGE):
        raise AttestationError(
            "malformed", f"not an in-toto Statement v1 of a lineage or a verdict: {str(kind)[:80]!r}"
        )
    try:
        found = _lineage(values) if kind == LINEAGE else read_verdict(values)
        same = found.payload == payload
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise AttestationError(
            "malformed", f"the statement lacks something or has it in another form: {shape_fault(error)}"
        ) from error
    except ConfigError as error:
        raise AttestationError("malformed", str(error)) from error
    if not same:
        raise AttestationError("malformed", "the statement has fields or spellings that this format does not have")
    return found


def stored_lineage(payload: bytes) -> LineageStatement:
    """Build a lineage from a payload that was verified before it was stored; much quicker than `parse_statement`."""
    values = json.loads(payload)
    entries = values["predicate"]["buildDefinition"]["resolvedDependencies"]
    return _build(values, [Material(**entry) for entry in entries])


def _build(values: Mapping[str, Any], materials: Iterable[Material]) -> LineageStatement:
    model, bundle = read_subject(values)
    build, details = values["predicate"]["buildDefinition"], values["predicate"]["runDetails"]
    return LineageStatement(
        model=model,
        bundle=bundle,
        files={entry["name"]: entry["digest"]["sha256"] for entry in values["subject"][1:]},
        asked=dict(build["externalParameters"]),
        given=dict(build["internalParameters"]),
        materials=tuple(materials),
        versions=dict(details["builder"]["version"]),
        run=details["metadata"]["invocationId"],
        finished=details["metadata"]["finishedOn"],
    )


def _lineage(values: Mapping[str, Any]) -> LineageStatement:
    entries = values["predicate"]["buildDefinition"]["resolvedDependencies"]
    found = _build(values, [from_dict(Material, entry, "material") for entry in entries])
    for digests in (*(material.digest for material in found.materials), found.files):
        for name, value in digests.items():
            if not _HEX.fullmatch(value):
                raise AttestationError("malformed", f"digest {name} is {value[:80]!r}, expected hexadecimal digits")
    if len({material.name for material in found.materials}) != len(found.materials):
        raise AttestationError("malformed", "the lineage names a material twice")
    check_prefixed(found.fingerprint, "backbone")
    moment(found.finished, "finishedOn")
    # a lineage without a dataset is refused here, with the KeyError, and not when somebody reads the property
    found.asked["dataset"]
    return found
