"""The plan of a proof of concept as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.local.report_settings import ReportSettings
from pipelines.reporting.gain_words import things
from pipelines.reporting.page_rendering import render_manager_page
from pipelines.reporting.poc_plan import PUBLISHED, PocPlan
from pipelines.reporting.site_page import task_name
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.written_numbers import rounded, written_length, written_number


@dataclass(frozen=True)
class PlannedStep:
    """One line of the time line."""

    weeks: str
    text: str
    command: str


def poc_page(texts: Texts, plan: PocPlan, assumed: ReportSettings) -> str:
    """Return the page."""
    return render_manager_page(
        "poc_page.html",
        texts,
        plan=plan,
        assumed=assumed,
        task=task_name(texts, plan.slot),
        things=things(texts, plan.metric),
        target=rounded(texts, 100 * plan.target),
        expected=rounded(texts, 100 * plan.expected),
        training=curve_sentence(texts, plan),
        steps=planned_steps(texts, plan),
        setting=split_setting(plan),
    )


def curve_sentence(texts: Texts, plan: PocPlan) -> str:
    """Return where the amount of training audio comes from."""
    amount = written_length(texts, 60 * plan.train_minutes)
    if plan.curve == "published":
        origin = texts.say(
            "No learning curve of this task was measured here. The amount is that of the published curve of "
            "another task (intent, spoken digits with factory noise, up to %(minutes)s minutes), so it is an order of "
            "magnitude.",
            minutes=written_number(texts, PUBLISHED[-1].minutes, 1),
        )
    else:
        origin = texts.say("The amount is that of the learning curve measured on %(source)s.", source=plan.curve_source)
    if plan.enough:
        reach = texts.say("On this curve, %(amount)s of training audio reach the planned error rate.", amount=amount)
    else:
        reach = texts.say(
            "The curve does not reach the planned error rate; the plan takes the most that the curve is valid for, "
            "%(amount)s of training audio.",
            amount=amount,
        )
    return f"{origin} {reach}"


def planned_steps(texts: Texts, plan: PocPlan) -> list[PlannedStep]:
    """Return the time line, from the first recording to the decision."""
    slot, ready = plan.slot, plan.weeks
    recording = texts.say(
        "Record and label %(audio)s of audio: about %(hours)s hours of work.",
        audio=written_length(texts, 60 * plan.minutes),
        hours=written_number(texts, plan.label_hours),
    )
    training = texts.say("Train and gate the first adapter, and compare it with the same model without an adapter.")
    again = texts.say("If the verdict is undecided, record once what the gate names, and gate again.")
    return [
        PlannedStep(_weeks(texts, 1, ready), recording, f"elp data add {slot} SOURCE"),
        PlannedStep(_weeks(texts, ready + 1, ready + 1), training, f"elp retrain {slot}"),
        PlannedStep(_weeks(texts, ready + 1, ready + 2), again, f"elp gate {slot}"),
        PlannedStep(
            _weeks(texts, ready + 3, ready + 3),
            texts.say("Decide on the roll-out by the rule above."),
            f"elp report {slot.site}",
        ),
    ]


def _weeks(texts: Texts, first: int, last: int) -> str:
    if first == last:
        return texts.say("week %(first)s", first=first)
    return texts.say("weeks %(first)s to %(last)s", first=first, last=last)


def split_setting(plan: PocPlan) -> str:
    """Return the setting that gives the golden set its size."""
    shares = f"test_share: {plan.test_share:.2f}, validation_share: {plan.validation_share:.2f}"
    more = ", closed_set: true, split_by: clip" if plan.closed_set else ""
    return f"slots: {{{plan.slot}: {{data: {{{shares}{more}}}, gate: {{limit: {plan.target:g}}}}}}}"
