"""The end of a run on screen: the verdict in words, what it rests on, what it cost, and where to look."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.cli.output import dumb_terminal, fields
from pipelines.gating.gate import GateOutcome
from pipelines.number_text import BEFORE, METRICS, count, duration, metric_title, percent, points, quantity
from pipelines.orchestration.prefect_api import FollowedRun
from pipelines.orchestration.run_outcome import RunOutcome
from pipelines.registry.adapter_version import report_address
from pipelines.training.register import Registered

VERDICTS = {"passed": "passed the gate", "failed": "was refused by the gate", "undecided": "is undecided"}
_COLOURS = {"passed": "green", "failed": "red", "undecided": "yellow"}
_REASONS = 3
"""Reasons that are shown; the report has all."""


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, as the command line knows it."""

    slot: str
    """SITE/TASK; empty for a run over all slots."""
    outcome: RunOutcome
    mlflow: str
    """Address of the MLflow server; empty if it does not run."""
    closing: str
    """The last line, such as ``retrain plant-a/asr: Completed in 1 min 02 s``."""

    def panel(self) -> str:
        """Return the panel; lines of names and values if stdout is no terminal."""
        gate = self.outcome.gate
        rows = list(self._rows())
        colour = _COLOURS[gate.verdict.outcome] if gate else "blue"
        if not sys.stdout.isatty() or dumb_terminal():
            lines = [self._title(), fields(rows), self.closing]
            return "\n".join(line for line in lines if line)
        return f"{_drawn(self._title(), rows, colour)}\n{self.closing}"

    def refusal(self, run: FollowedRun) -> str:
        """Return why the adapter was not accepted: the first reason, and the address of the report."""
        gate = self.outcome.gate
        if gate is None:
            return f"{run.message}\nits page: {run.url}"
        verdict, report = gate.verdict, dict(self.pages(gate))["report"]
        reason = next(iter(verdict.reasons), run.message)
        first = f"{self.slot} v{gate.version} {VERDICTS[verdict.outcome]}: {reason}"
        return f"{first}\nnothing was promoted; the report: {report}"

    def _title(self) -> str:
        outcome, slot = self.outcome, self.slot
        if gate := outcome.gate:
            words = VERDICTS[gate.verdict.outcome]
            serves = outcome.promoted or gate.serving
            return f"{slot} v{gate.version} {words}" + (", and is the champion" if serves else "")
        if adapter := outcome.adapter:
            how = "was trained before" if adapter.reused else "is trained"
            return f"{slot} v{adapter.version} {how}"
        return f"{slot} is at {outcome.dataset.name}" if outcome.dataset else "all slots"

    def _rows(self) -> Iterator[tuple[str, str]]:
        outcome = self.outcome
        if outcome.adapter:
            yield from _untrained(outcome.adapter)
        if gate := outcome.gate:
            yield from _judged(gate)
        elif outcome.adapter:
            metrics = outcome.adapter.metrics
            # the names of further metrics have a dot, such as wer.cer
            yield from (
                (metric_title(m), f"{percent(metrics[m])} on the validation split") for m in METRICS if m in metrics
            )
        if dataset := outcome.dataset:
            quarantined = f"; {count(dataset.quarantined, 'clip')} in quarantine" if dataset.quarantined else ""
            size = f"{count(dataset.clips, 'clip')}, {duration(dataset.seconds)}, {count(dataset.speakers, 'speaker')}"
            yield "data", f"{dataset.tag}: {size}{quarantined}"
        if outcome.adapter:
            yield "cost", _cost(outcome.adapter)
        yield from ((run.slot, run.text) for run in outcome.slots)
        # the first line: the others are in the log of the run, and in elp inbox list
        yield from (("refused", f"{name}: {why.splitlines()[0]}") for name, why in outcome.refused.items() if why)
        if gate := outcome.gate:
            if gate.verdict.passed and not (outcome.promoted or gate.serving or gate.dry_run):
                yield "next", f"elp promote {self.slot}"
            yield from self.pages(gate)

    def pages(self, gate: GateOutcome) -> Iterator[tuple[str, str]]:
        """Yield the addresses of the version's page and of the report; the file if the server has no report."""
        if self.mlflow and not gate.dry_run:
            yield "console", f"{self.mlflow}/elp/slots/{self.slot}?version={gate.version}"
            yield "report", report_address(self.mlflow, self.slot, gate.version)
        else:
            yield "report", str(gate.evidence / "report.html")


def _untrained(adapter: Registered) -> Iterator[tuple[str, str]]:
    """Yield the metric before the first training step, if the training measured it, and after the training."""
    for metric in METRICS:
        before, after = (adapter.metrics.get(name) for name in (BEFORE + metric, metric))
        if before is not None:
            reached = "" if after is None else f" → {percent(after)} trained"
            yield "before", f"{metric_title(metric)} {percent(before)} untrained{reached}, on the validation split"


def _judged(gate: GateOutcome) -> Iterator[tuple[str, str]]:
    verdict = gate.verdict
    mine = f"v{gate.version} {percent(verdict.challenger)} ({_span(*verdict.challenger_interval)})"
    before = f"champion v{gate.champion} {percent(verdict.champion)} → " if verdict.champion is not None else ""
    limit = percent(verdict.policy.limit)
    yield metric_title(verdict.metric), before + mine + ("" if before else f"; a first version, limit {limit}")
    if verdict.delta is not None and verdict.interval is not None:
        low, high = verdict.interval
        allowed = f"allowed {points(verdict.policy.margin)}"
        yield "difference", f"{points(verdict.delta)} ({points(low)} … {points(high)}), {allowed}"
    reasons, more = verdict.reasons[:_REASONS], len(verdict.reasons) - _REASONS
    for number, reason in enumerate(reasons):
        yield "" if number else "why", reason
    if more > 0:
        yield "", f"and {count(more, 'more reason')} in the report"


def _cost(adapter: Registered) -> str:
    """Return what an adapter cost: time, size, parameters."""
    metrics, parts = adapter.metrics, []
    if adapter.reused:
        parts.append("nothing was trained: the registry has this training already")
    elif "train_seconds" in metrics:
        parts.append(f"trained in {duration(metrics['train_seconds'])}")
    if "bundle_bytes" in metrics:
        parts.append(quantity("bundle_bytes", metrics["bundle_bytes"]))
    if "trainable_parameters" in metrics:
        whole = metrics.get("backbone_parameters", 0.0)
        of = f" ({percent(metrics['trainable_parameters'] / whole)} of a full copy)" if whole else ""
        parts.append(f"{quantity('trainable_parameters', metrics['trainable_parameters'])} parameters{of}")
    return ", ".join(parts)


def _span(low: float, high: float) -> str:
    return f"{percent(max(0.0, low))} … {percent(high) if math.isfinite(high) else 'unknown'}"


def _drawn(title: str, rows: list[tuple[str, str]], colour: str) -> str:
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text.from_ansi(value))
    console = Console(color_system="standard")
    with console.capture() as captured:
        console.print(Panel(grid, title=Text(title, style="bold"), title_align="left", border_style=colour))
    return captured.get().rstrip("\n")
