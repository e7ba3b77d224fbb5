"""The report on a site as one HTML page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipelines.local.report_settings import ReportSettings
from pipelines.registry.slot import Slot
from pipelines.reporting.next_step_words import NextStep, next_step
from pipelines.reporting.page_rendering import render_manager_page
from pipelines.reporting.risk_words import NamedRisk, slot_risks
from pipelines.reporting.site_report import SiteReport, SlotReport
from pipelines.reporting.yearly_cost import CostLine
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.written_numbers import written_number


@dataclass(frozen=True)
class ShownAssumption:
    """One line of the table of assumptions."""

    name: str
    """Key below `report:` in `elp.yaml`."""
    about: str
    value: str
    set_here: bool
    """Whether `elp.yaml` has it."""


@dataclass(frozen=True)
class ShownCost:
    """One line of the table of costs, with its amount in words."""

    title: str
    amount: str
    line: CostLine


@dataclass(frozen=True)
class ShownSlot:
    """A slot with its sentences."""

    report: SlotReport
    task: str
    risks: list[NamedRisk]
    step: NextStep
    compare: str
    """The command that measures the gain over the same model without an adapter."""


def site_page(texts: Texts, report: SiteReport) -> str:
    """Return the page."""
    slots = [
        ShownSlot(one, task_name(texts, one.slot), slot_risks(texts, one), next_step(texts, one), _compare_command(one))
        for one in report.slots
    ]
    return render_manager_page(
        "site_page.html",
        texts,
        report=report,
        slots=slots,
        costs=[ShownCost(*_cost_words(texts, line), line) for line in report.costs],
        unmeasured=[one.slot for one in report.slots if one.amounts.train_seconds is None],
        assumptions=shown_assumptions(texts, report.assumed, report.stated),
    )


def task_name(texts: Texts, slot: Slot) -> str:
    """Return what the adapters of a slot do."""
    names = {
        "asr": texts.say("speech recognition"),
        "asv": texts.say("speaker verification"),
        "ser": texts.say("emotion recognition"),
        "sic": texts.say("intent recognition"),
    }
    return names.get(slot.task, slot.task)


def shown_assumptions(texts: Texts, assumed: ReportSettings, stated: Collection[str]) -> list[ShownAssumption]:
    """Return the assumptions of costs and plans, each with its key in `elp.yaml`."""
    about = {
        "sites": texts.say("sites of a roll-out"),
        "trainings": texts.say("trainings of a slot in a year, without a schedule"),
        "new_audio_hours": texts.say("hours of new audio that people label for a slot in a year"),
        "label_hours": texts.say("hours of work to label one hour of audio"),
        "label_price": texts.say("price of one hour of that work, %(currency)s", currency=assumed.currency),
        "compute_price": texts.say(
            "price of one hour of the training machine, %(currency)s", currency=assumed.currency
        ),
        "storage_price": texts.say("price of one GB for a month, %(currency)s", currency=assumed.currency),
        "people_hours": texts.say("hours of work in a week for a proof of concept"),
    }
    return [
        ShownAssumption(name, text, written_number(texts, getattr(assumed, name), 2), name in stated)
        for name, text in about.items()
    ]


def _compare_command(report: SlotReport) -> str:
    shown, newest = report.shown, report.recorded.source if report.recorded else ""
    data = shown.version.dataset if shown else ""
    older = f" --data {data.rpartition('/')[2]}" if data not in ("", newest) else ""
    return f"elp compare {report.slot}{older} --methods weighted-sum,{report.methods[-1]}"


def _cost_words(texts: Texts, line: CostLine) -> tuple[str, str]:
    amount = written_number(texts, line.amount, 1 if line.amount >= 1 else 3)
    if line.kind == "storage":
        return texts.say("storage of data and adapters"), texts.say("%(number)s GB", number=amount)
    hours = texts.say("%(number)s h", number=amount)
    return (texts.say("training") if line.kind == "training" else texts.say("labelling by people")), hours
