"""What a flow run did: one record, published for the command line as JSON and for Prefect's UI as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import from_dict
from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.errors import ServiceError
from pipelines.gating.gate import GateOutcome
from pipelines.number_text import count, percent, quantity
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot
from pipelines.registry.verdict import Verdict
from pipelines.training.register import Registered

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

FORMAT = 1
MACHINE = "elp-run-outcome"
"""Type of the artifact that holds the record as JSON."""

REFUSED, UNDECIDED = "Refused", "Undecided"
"""Names of the completed state of a run whose adapter the gate failed, or could not decide on."""


@dataclass(frozen=True)
class SlotRun:
    """The part of one slot in a run over several slots."""

    slot: str
    text: str
    """What happened, for people."""
    state: str = ""
    """Name of the final state of the slot's own run, if it had one."""
    state_type: str = ""


@dataclass(frozen=True)
class RunOutcome:
    """What a flow run did; the parts that its flow does not have are None or empty."""

    dataset: DatasetVersion | None = None
    adapter: Registered | None = None
    gate: GateOutcome | None = None
    promoted: bool = False
    slots: tuple[SlotRun, ...] = field(default_factory=tuple)
    refused: Mapping[str, str] = field(default_factory=dict)
    """Deliveries that stay in the inbox: name -> why."""
    tuning: Mapping[str, Any] = field(default_factory=dict)
    """What `elp tune` found: `pipelines.tuning.tuning_result.TuningResult` as plain values."""

    def rows(self) -> dict[str, Any]:
        """Return names and values for people, in the order of the run."""
        rows: dict[str, Any] = {f"refused in the inbox: {name}": reason for name, reason in self.refused.items()}
        if dataset := self.dataset:
            rows |= {
                "dataset": dataset.tag,
                "clips": dataset.clips,
                "minutes": round(dataset.seconds / 60, 2),
                "speakers": dataset.speakers,
                "quarantined": dataset.quarantined,
                "golden set": dataset.golden,
            }
        if adapter := self.adapter:
            rows |= {
                "adapter": f"{adapter.name} v{adapter.version}",
                "version": adapter.version,
                "reused": adapter.reused,
                "bundle": adapter.bundle_digest,
                "mlflow run": adapter.run_id,
                **{f"training: {name}": round(value, 5) for name, value in adapter.metrics.items()},
            }
        if gate := self.gate:
            verdict = gate.verdict
            rows |= {
                "verdict": verdict.outcome,
                "gated version": gate.version,
                "metric": verdict.metric,
                "challenger": verdict.challenger,
                "champion": verdict.champion,
                "champion version": gate.champion,
                "first version": verdict.first_version,
                "clips still needed": verdict.needed,
                **{f"gap of {gap.key}": gap.note for gap in verdict.gaps},
                "reasons": "; ".join(verdict.reasons),
                "evidence": str(gate.evidence),
            }
        if self.promoted:
            rows["promoted"] = True
        if self.tuning:
            rows |= tuning_rows(self.tuning)
        return rows | {run.slot: run.text for run in self.slots}

    def to_json(self) -> dict[str, Any]:
        """Return the versioned JSON values that cross from the worker to the command line."""
        values: dict[str, Any] = plain(self) | {"format": FORMAT}
        if not self.refused:
            # a command line of the release before knows no such key
            del values["refused"]
        if not self.tuning:
            del values["tuning"]
        # a verdict has its own JSON, which is the one that is signed
        if self.gate:
            values["gate"]["verdict"] = self.gate.verdict.to_json()
            if not self.gate.serving:
                # a command line of the release before knows no such key
                del values["gate"]["serving"]
        return values

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> RunOutcome:
        """Read what `to_json` returned; raises ServiceError for another format, ConfigError for wrong keys."""
        values = dict(given)
        if (written := values.pop("format")) != FORMAT:
            raise ServiceError(f"the worker reports in format {written}, this elp reads {FORMAT}; install one version")
        gate = values.pop("gate")
        outcome = from_dict(cls, values, "run outcome")
        if gate is None:
            return outcome
        records = {"verdict": Verdict.from_json(gate["verdict"]), "evidence": Path(gate["evidence"])}
        return dataclasses.replace(outcome, gate=GateOutcome(**gate | records))


def tuning_rows(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a study found as names and values for people."""
    from pipelines.tuning.tuning_result import TuningResult
    from pipelines.tuning.tuning_words import tuning_findings

    found = from_dict(TuningResult, values, "tuning")
    decision, *others = tuning_findings(found)
    confirmed = {f"confirmed: {one.tried.title}": one.against_present.relation for one in found.finalists}
    return {"decision": decision, "study": found.study, **confirmed, "findings": " ".join(others)}


def publish_outcome(flow: str, slot: Slot | None, outcome: RunOutcome, title: str) -> None:
    """Publish a run's outcome as a table for people (the newest of a slot has its own page) and as JSON for the CLI."""
    from prefect.artifacts import Artifact, create_table_artifact

    key = f"outcome-{flow}-{slot.site}-{slot.task}" if slot else f"outcome-{flow}"
    table = [{"what": name, "value": _text(name, value)} for name, value in plain(outcome.rows()).items()]
    create_table_artifact(table, key=key, description=title)
    # without a key it has no page of its own; the run's page links to it
    Artifact(type=MACHINE, data=outcome.to_json(), description="the same, for the command line").create()


def _text(name: str, value: Any) -> Any:
    """Return a value of the table with its unit, if it has one."""
    if not isinstance(value, float) or name == "minutes":
        return value
    return percent(value) if name in ("challenger", "champion") else quantity(name.removeprefix("training: "), value)


def final_state(slot: str, gate: GateOutcome) -> State[Any]:
    """Return the state of a run whose adapter was judged: Completed, or completed as Refused or Undecided.

    A refusal is a result of the gate, not a failure: no automation for failures may start.
    """
    from prefect.states import Completed

    text = f"{slot} v{gate.version}: {gate.verdict.outcome}"
    if gate.verdict.passed:
        return Completed(message=text)
    reasons = "; ".join(gate.verdict.reasons)
    name = UNDECIDED if gate.verdict.outcome == "undecided" else REFUSED
    return Completed(name=name, message=f"{text} ({reasons})" if reasons else text)


def final_state_of_all(runs: Sequence[SlotRun]) -> State[Any]:
    """Return the state of a run over all slots: the worst of failed, refused, undecided and completed."""
    from prefect.states import Completed, Failed

    size = count(len(runs), "slot")
    if failed := [run.slot for run in runs if run.state_type != "COMPLETED"]:
        return Failed(message=f"{size}, failed: {', '.join(failed)}")
    others = {name: [run.slot for run in runs if run.state == name] for name in (REFUSED, UNDECIDED)}
    if worst := next((name for name, slots in others.items() if slots), ""):
        parts = [f"{name.lower()}: {', '.join(slots)}" for name, slots in others.items() if slots]
        return Completed(name=worst, message="; ".join([size, *parts]))
    return Completed(message=f"{size}, all passed")
