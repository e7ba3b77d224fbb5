"""An adapter as a CycloneDX 1.6 bill of materials: model card, backbone, data, statements, packages.

Written as plain JSON because the CycloneDX library has no model card yet; the library validates the result.
Specification: https://cyclonedx.org/docs/1.6/json/
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

from pipelines.audit.adapter_records import AdapterRecords
from pipelines.audit.server_records import backbone_of
from pipelines.errors import RegistryError
from pipelines.number_text import count
from pipelines.registry.known_backbones import commercial_use
from pipelines.registry.lineage import LearnedFrom
from pipelines.registry.signing.canonical_json import utc_now
from pipelines.registry.statements import LineageStatement
from pipelines.registry.verdict_statement import VerdictStatement

SPECIFICATION = "1.6"
_NAMESPACE = uuid.UUID("6f0c8f0e-2f64-5f7e-9a43-0d1b8f6f4f10")
"""Namespace of serial numbers: equal bundles have equal ones."""
_TASKS = {
    "asr": ("automatic speech recognition", "text"),
    "asv": ("speaker verification", "embedding"),
    "ser": ("speech emotion recognition", "class"),
    "sic": ("spoken intent classification", "class"),
}
_SENSITIVE = ["recorded speech of people"]
Json = dict[str, Any]


def bill_of_materials(subject: AdapterRecords, packages: Sequence[str] = ()) -> str:
    """Return the bill of materials, as JSON text that the strict validator accepts.

    `packages` are ``name==version`` of what was installed at training; empty if it is unknown.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    lineage = subject.lineage
    if lineage is None:
        raise RegistryError(f"{subject.name} has no lineage statement to make a bill of materials from")
    model, backbone = _model(subject, lineage), _backbone(lineage)
    bundles = dict.fromkeys(one.bundle for one in lineage.learned)
    parents = [_parent(subject, bundle, lineage.learned) for bundle in bundles]
    data = [_dataset(lineage), *_golden(lineage)]
    libraries = [_library(entry) for entry in packages]
    used = [component["bom-ref"] for component in (backbone, *parents, *data, *libraries)]
    tool = {"type": "application", "name": "elp-foundry", "version": metadata.version("elp-foundry")}
    found: Json = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, lineage.bundle)}",
        "version": 1,
        "metadata": {"timestamp": utc_now(), "tools": {"components": [tool]}, "component": model},
        "components": [backbone, *parents, *data, *libraries],
        "dependencies": [{"ref": model["bom-ref"], "dependsOn": used}, *({"ref": ref} for ref in used)],
    }
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if (fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise RegistryError(f"the bill of materials is not valid CycloneDX {SPECIFICATION}: {str(fault)[:300]}")
    return text


def _model(subject: AdapterRecords, lineage: LineageStatement) -> Json:
    made = lineage.material("code").annotations.get("version", "")
    properties = {
        "elp:slot": str(subject.slot),
        "elp:status": subject.status,
        "elp:bundle": lineage.bundle,
        "elp:training-key": lineage.key,
        "elp:seed": lineage.seed,
        "elp:mlflow-run": lineage.run,
        "elp:trained": lineage.finished,
        "elp:code-digest": lineage.digest_of("code", "elpCode"),
        "elp:packages-lock": lineage.digest_of("packages", "elpLock"),
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": f"adapter:{lineage.model}:{subject.version}",
        "group": "elp",
        "name": lineage.model,
        "version": str(subject.version),
        "description": f"ELP adapter of {subject.slot} on {backbone_of(lineage)}, made by elp-foundry {made}.",
        "hashes": [_sha256(lineage.bundle)],
        "components": [
            {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [_sha256(digest)]}
            for name, digest in sorted(lineage.files.items())
        ],
        "modelCard": _card(subject, lineage),
        "externalReferences": [
            {
                "type": "attestation",
                "url": f"urn:sha256:{one.digest}",
                "comment": f"{one.kind} statement, in-toto in a DSSE envelope, recorded {one.at}",
                "hashes": [_sha256(one.digest)],
            }
            for one in subject.stored
        ],
        "properties": _properties(properties),
    }


def _card(subject: AdapterRecords, lineage: LineageStatement) -> Json:
    task, answer = _TASKS.get(subject.slot.task, (subject.slot.task, "answer"))
    card: Json = {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": task,
            "architectureFamily": "transformer encoder, frozen, with E-, L- and P-adapters",
            "modelArchitecture": "ELP (arXiv 2407.21066)",
            "datasets": [{"ref": f"data:{lineage.dataset}"}, *({"ref": one["bom-ref"]} for one in _golden(lineage))],
            "inputs": [{"format": "waveform, mono, 16 kHz, float32"}],
            "outputs": [{"format": answer}],
        },
        "properties": _properties({f"elp:config:{name}": value for name, value in _flat(lineage.config)}),
    }
    if subject.verdict is not None:
        card["quantitativeAnalysis"] = {"performanceMetrics": _metrics(subject.verdict)}
    return card


def _metrics(verdict: VerdictStatement) -> list[Json]:
    """Return what the gate measured on the golden set."""
    found: list[Json] = []
    if verdict.challenger is not None:
        found.append({"type": verdict.metric, "value": f"{verdict.challenger:.6f}"})
    if verdict.delta is not None:
        against = verdict.against.version if verdict.against else "?"
        found.append({"type": f"{verdict.metric}, difference to v{against}", "value": f"{verdict.delta:+.6f}"})
        if verdict.interval and None not in verdict.interval:
            low, high = verdict.interval
            found[-1]["confidenceInterval"] = {"lowerBound": f"{low:+.6f}", "upperBound": f"{high:+.6f}"}
    return [one | {"slice": verdict.golden.tag} for one in (*found, {"type": "gate", "value": verdict.outcome})]


def _backbone(lineage: LineageStatement) -> Json:
    origin = lineage.backbone_origin
    model: Json = {"approach": {"type": "self-supervised"}}
    if origin.pretraining:
        model["datasets"] = [{"type": "dataset", "name": origin.pretraining}]
    known = {
        "elp:commercial-use": origin.commercial or "unknown",
        "elp:source": origin.source,
        "elp:pretraining": origin.pretraining,
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": f"backbone:{lineage.fingerprint}",
        "name": backbone_of(lineage) or "backbone",
        "description": "Frozen speech backbone; the hash is the fingerprint of its weights and architecture.",
        "hashes": [_sha256(lineage.fingerprint)],
        "licenses": [{"license": _licence(origin.licence)}],
        "modelCard": {"modelParameters": model},
        "properties": _properties(known),
    }


def _licence(licence: str) -> Json:
    # CycloneDX takes identifiers of SPDX's list only; others are names
    return {"id": licence} if commercial_use(licence) != "unknown" else {"name": licence or "unknown"}


def _parent(subject: AdapterRecords, bundle: str, every: Iterable[LearnedFrom]) -> Json:
    """Return an adapter that this one learned from, in one role or more: a start may have labelled clips, too."""
    known = subject.known.get(bundle)
    mine = [one for one in every if one.bundle == bundle]
    learned = mine[0]
    origin = {
        "elp:role": ", ".join(one.role for one in mine),
        "elp:share": ", ".join(str(one.weight) for one in mine if one.weight != 1),
        "elp:dataset": known.dataset if known else "",
        "elp:lineage-statement": known.statement if known else "",
    }
    found: Json = {
        "type": "machine-learning-model",
        "bom-ref": f"adapter:{bundle}",
        "group": "elp",
        "name": known.slot if known else learned.slot or "adapter",
        "description": "An adapter that this one learned from; it is not part of the bundle.",
        "hashes": [_sha256(bundle)],
        "properties": _properties(origin),
    }
    version = known.version if known else learned.version
    return {**found, "version": str(version)} if version else found


def _dataset(lineage: LineageStatement) -> Json:
    commit, md5 = lineage.digest_of("dataset", "gitCommit"), lineage.digest_of("dataset", "dvcMd5")
    origin = {
        "elp:git-repository": lineage.material("dataset").uri,
        "elp:git-commit": commit,
        "elp:dvc-md5": md5,
        "elp:clip-ids-sha256": lineage.digest_of("clips", "elpIds"),
    }
    content = {
        "type": "dataset",
        "name": lineage.dataset,
        "description": f"{count(lineage.training.clips, 'clip')} trained on.",
        "sensitiveData": _SENSITIVE,
        "contents": {"properties": _properties(origin)},
    }
    return {
        "type": "data",
        "bom-ref": f"data:{lineage.dataset}",
        "name": lineage.dataset,
        "version": commit,
        "hashes": [{"alg": "MD5", "content": md5}],
        "data": [content],
    }


def _golden(lineage: LineageStatement) -> list[Json]:
    tag = lineage.golden
    if not tag:
        return []
    return [
        {
            "type": "data",
            "bom-ref": f"data:{tag}",
            "name": tag,
            "description": "Golden set in force at training: excluded from training, used to judge adapters.",
            "hashes": [_sha256(lineage.digest_of("golden", "elpIds"))],
            "data": [{"type": "dataset", "name": tag, "sensitiveData": _SENSITIVE}],
        }
    ]


def _library(entry: str) -> Json:
    name, _, version = entry.partition("==")
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version.replace('+', '%2B')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _properties(values: Mapping[str, Any]) -> list[Json]:
    return [{"name": name, "value": str(value)} for name, value in values.items() if value not in ("", None)]


def _flat(config: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(config, Mapping):
        return [(prefix, config)]
    inner = [(f"{prefix}.{name}" if prefix else name, value) for name, value in config.items()]
    return [pair for name, value in inner for pair in _flat(value, name)]


def _sha256(digest: str) -> Json:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}
