"""A verdict in the registry: found again, and written on its version."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.metrics.scores import title
from pipelines.clients import registry, tracking
from pipelines.clients.describe import describe
from pipelines.clients.mlflow_server import answering
from pipelines.clients.versions import CHALLENGER, CHAMPION, AdapterVersion, GateRecord, Tags
from pipelines.gate.evidence import EVIDENCE_FILE
from pipelines.gate.verdict import Verdict
from pipelines.gate.words import percent, points

if TYPE_CHECKING:
    from mlflow import MlflowClient

_HEADLINES = {"passed": "Passed the gate", "failed": "Refused by the gate", "undecided": "Undecided at the gate"}


def recorded(
    client: MlflowClient, version: AdapterVersion, wanted: GateRecord, folder: Path, keep: bool
) -> Path | None:
    """The evidence folder of the verdict the version carries, if it is about what is `wanted`; None otherwise.

    Args:
        client: Connection to the MLflow server.
        version: The version to judge.
        wanted: What the verdict would be about; its verdict and time do not matter.
        folder: Where the evidence lies, or is fetched to.
        keep: Any passed verdict about this bundle counts: the version serves already.
    """
    record = version.gate_record
    if record is None or record.bundle != version.bundle_digest:
        return None
    same = dataclasses.replace(record, verdict="", decided_at="") == dataclasses.replace(wanted, verdict="")
    if not (same or (keep and record.verdict == "passed")):
        return None
    place = folder.parent / Path(record.evidence).name
    return place if (place / EVIDENCE_FILE).is_file() else _fetch(client, version.run_id, record.evidence, place)


def publish(
    client: MlflowClient,
    version: AdapterVersion,
    champion: AdapterVersion | None,
    record: GateRecord,
    verdict: Verdict,
    evidence: Path,
    decided_at: str,
    *,
    serving: bool = False,
) -> AdapterVersion:
    """Put evidence, numbers, alias, description and tags on the version; the record comes last.

    Cut off anywhere and called again, it ends in the same state: what was not recorded is written again.
    """
    tracking.log_folder(client, version.run_id, evidence, record.evidence)
    tracking.log_metrics(client, version.run_id, _metrics(verdict))
    if verdict.passed and not serving:
        registry.set_alias(client, version.slot, CHALLENGER, version.version)
    elif CHALLENGER in version.aliases:
        registry.remove_alias(client, version.slot, CHALLENGER)
    status = {"passed": CHALLENGER, "failed": "rejected", "undecided": "candidate"}[verdict.outcome]
    written = dataclasses.replace(record, verdict=verdict.outcome, decided_at=decided_at)
    tags = {
        Tags.VERDICT: verdict.outcome,
        Tags.STATUS: CHAMPION if serving else status,
        Tags.METRIC: verdict.metric,
        Tags.VALUE: f"{verdict.challenger:.4f}",
        Tags.GOLDEN: record.golden,
    }
    against = f"v{champion.version}" if champion else ""
    text = describe(_headline(verdict, against), _rows(verdict, record, against), {**version.tags, **tags})
    registry.annotate(client, version.slot, version.version, tags, text)
    return registry.annotate(client, version.slot, version.version, {Tags.GATE: written.to_json()})


@answering
def _fetch(client: MlflowClient, run_id: str, artifact: str, place: Path) -> Path | None:
    """The evidence among the run's artifacts as a local folder; None where it is gone from there."""
    if not client.list_artifacts(run_id, artifact):
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=place.parent) as scratch:
        came = Path(client.download_artifacts(run_id, artifact, scratch))
        shutil.rmtree(place, ignore_errors=True)
        os.replace(came, place)
    return place


def _metrics(verdict: Verdict) -> dict[str, float]:
    numbers = {f"golden.{verdict.metric}": verdict.challenger}
    if verdict.champion is not None and verdict.delta is not None:
        numbers |= {f"golden.{verdict.metric}.champion": verdict.champion, "golden.difference": verdict.delta}
    return numbers


def _headline(verdict: Verdict, against: str) -> str:
    metric = title(verdict.metric)
    compared = f"champion {against} {percent(verdict.champion)}" if verdict.champion is not None else "first version"
    return f"{_HEADLINES[verdict.outcome]}: {metric} {percent(verdict.challenger)} on the golden set ({compared})."


def _rows(verdict: Verdict, record: GateRecord, against: str) -> list[tuple[str, str]]:
    metric = title(verdict.metric)
    rows = [("verdict", f"**{verdict.outcome}**"), (metric, _span(verdict.challenger, verdict.challenger_interval))]
    if verdict.champion is not None and verdict.champion_interval is not None:
        rows.append((f"{metric} of champion {against}", _span(verdict.champion, verdict.champion_interval)))
    if verdict.delta is not None and verdict.interval is not None:
        low, high = verdict.interval
        rows.append(("difference", f"{points(verdict.delta)} ({points(low)} … {points(high)})"))
        rows.append(("allowed difference", points(verdict.policy.margin)))
    rows += [("absolute limit", percent(verdict.policy.limit)), ("golden clips", str(verdict.clips))]
    if verdict.closed_set:
        rows.append(("closed set", "speakers of the golden set were heard in training"))
    rows += [(f"condition {found.name}", found.outcome) for found in verdict.slices]
    rows += [("why", reason) for reason in verdict.reasons]
    return [*rows, ("evidence", f"`{record.evidence}/report.html` in the run's artifacts")]


def _span(value: float, bounds: tuple[float, float]) -> str:
    return f"{percent(value)} ({percent(max(0.0, bounds[0]))} … {percent(bounds[1])})"
