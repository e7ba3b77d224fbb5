"""The next step of a slot: a rule for each state, with the command that does it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.reporting.site_report import MissingAudio, SlotReport
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.written_numbers import written_number


@dataclass(frozen=True)
class NextStep:
    """What to do, and the command for it; the command is empty if people have to act first."""

    text: str
    command: str


def next_step(texts: Texts, report: SlotReport) -> NextStep:
    """Return the next step of a slot."""
    slot, contender, say = report.slot, report.contender, texts.say
    if report.shown is None:
        if report.recorded is None:
            return NextStep(say("Record audio and take it in."), f"elp data add {slot} SOURCE")
        return NextStep(say("Train the first adapter."), f"elp retrain {slot}")
    if contender is not None:
        return _about_contender(texts, report, f"v{contender.version.version}")
    if report.alarm_since:
        return NextStep(
            say("Record and label some of the changed audio, and train again."), f"elp retrain {slot} DELIVERY"
        )
    if report.champion is not None and report.champion.version.override:
        return NextStep(
            say("Replace the exception before it ends: gate the version, or train again."), f"elp gate {slot}"
        )
    if not report.looks:
        return NextStep(
            say("Keep the champion, and let the monitor watch the audio of the site."), f"elp monitor {slot}"
        )
    return NextStep(say("Keep the champion. New audio makes the next version."), f"elp retrain {slot} DELIVERY")


def _about_contender(texts: Texts, report: SlotReport, name: str) -> NextStep:
    slot, contender, say = report.slot, report.contender, texts.say
    assert contender is not None
    verdict, champion = contender.verdict, report.champion
    if verdict is None:
        return NextStep(say("Gate %(name)s: nothing is known of it yet.", name=name), f"elp gate {slot}")
    present = champion.version.version if champion else None
    if (verdict.against.version if verdict.against else None) != present:
        return NextStep(
            say("Gate %(name)s again: its verdict compares with an older champion.", name=name), f"elp gate {slot}"
        )
    if verdict.outcome == "passed":
        return NextStep(say("Decide whether %(name)s becomes champion: it passed.", name=name), f"elp promote {slot}")
    if verdict.outcome == "undecided":
        return NextStep(_record_more(texts, name, contender.missing), f"elp data add {slot} SOURCE")
    if champion is not None:
        text = say("%(name)s failed, so the champion stays. Find the cause in the gate's report.", name=name)
    else:
        text = say("%(name)s makes too many errors. Record more audio; find the cause in the gate's report.", name=name)
    return NextStep(text, f"elp audit {slot} {contender.version.version}")


def _record_more(texts: Texts, name: str, missing: MissingAudio | None) -> str:
    if missing is None:
        return texts.say("%(name)s is undecided, and the gate cannot say how much more audio would decide.", name=name)
    clips = written_number(texts, missing.clips)
    if missing.speakers is None:
        return texts.say(
            "%(name)s is undecided because the golden set is too small: record about %(clips)s more golden clips.",
            name=name,
            clips=clips,
        )
    return texts.say(
        "%(name)s is undecided because the golden set is too small: record about %(clips)s more golden clips of "
        "%(speakers)s other speakers.",
        name=name,
        clips=clips,
        speakers=written_number(texts, missing.speakers),
    )
