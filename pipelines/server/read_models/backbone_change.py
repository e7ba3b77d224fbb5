"""Every champion with its backbone, data and measured training: what a plan for another backbone is made from."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from statistics import median
from typing import Any

import sqlalchemy as sa

from elp_core.errors import ConfigError
from pipelines.errors import AttestationError
from pipelines.registry.adapter_version import CHAMPION, AdapterVersion, Tags
from pipelines.registry.backbone_facts import BackboneFacts, ChampionOnBackbone, MeasuredTraining
from pipelines.registry.statements import LineageStatement
from pipelines.server.ledger import BOXES, LEDGER, TEMPLATES
from pipelines.server.read_models import mlflow_tables
from pipelines.server.read_models.by_version import Key
from pipelines.server.read_models.signed_records import newest_lineages, read_lineage

_MEASURED = 50
"""Newest trainings on the backbone from which the rates are."""


def read_backbone_facts(connection: sa.Connection, backbone: str, sites: Collection[str] = ()) -> BackboneFacts:
    """Return the champions of some sites (of all if none is named), and what is known of a backbone.

    `backbone` is a name or a fingerprint. The number of queries does not depend on the number of slots.
    """
    aliases = mlflow_tables.version_aliases(connection)
    champions = [
        one
        for one in mlflow_tables.versions_at(connection, [key for key, names in aliases.items() if CHAMPION in names])
        if not sites or one.slot.site in sites
    ]
    tag = Tags.FINGERPRINT if backbone.startswith("sha256:") else Tags.BACKBONE
    known = mlflow_tables.versions_by_tag(connection, tag, backbone)
    trained = mlflow_tables.versions_at(connection, sorted(known, key=lambda key: -key[1])[:_MEASURED])
    versions = {one.model_version: one for one in (*champions, *trained)}
    lineages = _lineages(connection, versions)
    metrics = mlflow_tables.run_metrics(connection, {one.run_id for one in versions.values()})
    trainings = {key: _training(metrics.get(one.run_id, {}), lineages.get(key)) for key, one in versions.items()}
    voices = _voices(connection)
    rates = defaultdict[str, list[float]](list)
    for one in trained:
        if rate := trainings[one.model_version].rate:
            rates[one.slot.task].append(rate)
    return BackboneFacts(
        versions=sum(mlflow_tables.versions_by_status(connection).values()),
        champions=tuple(
            _champion(one, metrics.get(one.run_id, {}), trainings[key], lineages.get(key), voices)
            for one in sorted(champions, key=lambda one: str(one.slot))
            if (key := one.model_version)
        ),
        fingerprints=tuple(sorted({one.fingerprint for one in trained if one.fingerprint})),
        rates={task: median(found) for task, found in sorted(rates.items())},
        boxes=_boxes(connection),
        deleted=_deleted_files(connection),
    )


def _champion(
    version: AdapterVersion,
    metrics: Mapping[str, float],
    training: MeasuredTraining,
    lineage: LineageStatement | None,
    voices: Mapping[tuple[str, str], int],
) -> ChampionOnBackbone:
    bundle = version.bundle_digest
    return ChampionOnBackbone(
        slot=str(version.slot),
        version=version.version,
        bundle=bundle,
        backbone=version.backbone,
        fingerprint=version.fingerprint,
        dataset=version.tags.get(Tags.DATASET, ""),
        dvc_hash=version.tags.get(Tags.DVC_HASH, ""),
        run=version.run_id,
        bytes=int(metrics.get("bundle_bytes", 0)),
        training=training,
        teachers=tuple(one.name for one in lineage.learned if one.role == "teacher") if lineage else (),
        voices=voices.get((str(version.slot), bundle), 0),
    )


def _training(metrics: Mapping[str, float], lineage: LineageStatement | None) -> MeasuredTraining:
    clips = lineage.training if lineage else None
    return MeasuredTraining(
        seconds=metrics.get("train_seconds", 0.0),
        epochs=metrics.get("train_epochs", 0.0),
        audio=clips.seconds if clips else 0.0,
        beside=len(clips.beside) if clips else 0,
    )


def _lineages(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, LineageStatement]:
    found: dict[Key, LineageStatement] = {}
    for key, row in newest_lineages(connection, keys).items():
        # what cannot be read is reported by the audit, and counts as not measured here
        with suppress(AttestationError, ConfigError, LookupError, AttributeError):
            statement = read_lineage(row).statement
            if isinstance(statement.training.seconds, float | int) and statement.learned is not None:
                found[key] = statement
    return found


def _voices(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """Return how many enrolled voices have a template, by slot and bundle."""
    query = (
        sa.select(TEMPLATES.c.slot, TEMPLATES.c.bundle, sa.func.count(sa.distinct(TEMPLATES.c.voice)))
        .where(TEMPLATES.c.revoked_at == "")
        .group_by(TEMPLATES.c.slot, TEMPLATES.c.bundle)
    )
    return {(slot, bundle): int(number) for slot, bundle, number in connection.execute(query)}


def _boxes(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    where = BOXES.c.enrolled_at != "", BOXES.c.ended_at == ""
    found = defaultdict[str, list[str]](list)
    for site, name in connection.execute(sa.select(BOXES.c.site, BOXES.c.name).where(*where).order_by(BOXES.c.name)):
        found[site].append(name)
    return {site: tuple(names) for site, names in found.items()}


def _deleted_files(connection: sa.Connection) -> dict[str, int]:
    """Return the data files that the ledger records as deleted and not restored, each with the entry."""
    events = ("data deleted", "restored")
    query = sa.select(LEDGER.c.seq, LEDGER.c.event, LEDGER.c.entry).where(LEDGER.c.event.in_(events))
    found: dict[str, int] = {}
    for seq, event, text in connection.execute(query.order_by(LEDGER.c.seq)):
        files = _files(text)
        if event == "data deleted":
            found |= dict.fromkeys(files, seq)
        else:
            found = {md5: entry for md5, entry in found.items() if md5 not in files}
    return found


def _files(text: str) -> Collection[str]:
    # an entry that is damaged is named by the audit
    with suppress(ValueError, AttributeError):
        detail: dict[str, Any] = json.loads(text).get("detail", {})
        return dict(detail.get("files", {})).keys()
    return ()
