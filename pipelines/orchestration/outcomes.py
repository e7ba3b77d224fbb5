"""The outcomes of the flows: their tables, and the state a run ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.orchestration.prefect_api import REFUSED

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from pipelines.gating.gate import GateResult


def of_dataset(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Rows about a dataset version."""
    return {
        "dataset": dataset["tag"],
        "clips": dataset["clips"],
        "minutes": round(dataset["seconds"] / 60, 2),
        "speakers": dataset["speakers"],
        "quarantined": dataset["quarantined"],
        "golden set": dataset["golden"],
    }


def of_training(registered: Mapping[str, Any]) -> dict[str, Any]:
    """Rows about a registered adapter."""
    metrics = {name: round(value, 5) for name, value in registered["metrics"].items()}
    return {
        "adapter": f"{registered['name']} v{registered['version']}",
        "version": registered["version"],
        "reused": registered["reused"],
        "bundle": registered["bundle_digest"],
        "mlflow run": registered["run_id"],
        **{f"training: {name}": value for name, value in metrics.items()},
    }


def gate_rows(result: GateResult) -> dict[str, Any]:
    """Return the table rows about a verdict."""
    verdict = result.verdict
    return {
        "verdict": verdict.outcome,
        "gated version": result.version,
        "metric": verdict.metric,
        "challenger": verdict.challenger,
        "champion": verdict.champion,
        "champion version": result.champion,
        "first version": verdict.first_version,
        "clips still needed": verdict.needed,
        "reasons": "; ".join(verdict.reasons),
        "evidence": str(result.evidence),
    }


def gate_state(slot: str, result: GateResult) -> State[Any]:
    """Return the final state of a run whose adapter was judged: Completed, or Completed under the name Refused.

    A refusal is a regular result of the gate: nothing has failed, and no automation for failures may start. The name
    shows that the run produced no adapter for use.
    """
    from prefect.states import Completed

    text = f"{slot} v{result.version}: {result.verdict.outcome}"
    if result.verdict.passed:
        return Completed(message=text)
    return Completed(name=REFUSED, message=f"{text} ({'; '.join(result.verdict.reasons)})")


def concluded_all(runs: Sequence[Mapping[str, Any]]) -> State[Any]:
    """The state of a run over all slots: failed where a slot failed, else refused where one was refused."""
    from prefect.states import Completed, Failed

    failed = [run["slot"] for run in runs if run["type"] != "COMPLETED"]
    refused = [run["slot"] for run in runs if run["state"] == REFUSED]
    count = f"{len(runs)} slot(s)"
    if failed:
        return Failed(message=f"{count}, failed: {', '.join(failed)}")
    if refused:
        return Completed(name=REFUSED, message=f"{count}, refused: {', '.join(refused)}")
    return Completed(message=f"{count}, all passed")
