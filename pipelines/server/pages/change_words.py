"""What a dataset version changed, in the reader's language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.number_text import duration
from pipelines.server.pages.counted_words import counted
from pipelines.texts.message_catalogue import Texts

if TYPE_CHECKING:
    from pipelines.datasets.dataset_version import Delivery


def change_words(said: Texts, delivery: Delivery) -> str:
    """Return what the version of a delivery changed, as a sentence without its full stop."""
    # only servers with data need it
    from pipelines.datasets.dataset_version import DROP_TAUGHT, READMIT, RENORMALISE

    fewer, repeats = counted(said, -delivery.clips, "clip"), counted(said, delivery.repeats, "clip")
    match delivery.importer:
        case "drop":
            return said.say("%(clips)s dropped for good", clips=fewer)
        case value if value == DROP_TAUGHT:
            return said.say("%(clips)s with pseudo-labels dropped", clips=fewer)
        case "correct":
            return said.say("%(clips)s corrected", clips=repeats)
        case "resplit":
            return said.say("%(clips)s moved to another split", clips=repeats)
        case value if value == RENORMALISE:
            moved = said.say(", %(clips)s moved to quarantine", clips=fewer) if delivery.clips else ""
            return said.say("transcripts normalised again") + moved
        case value if value == READMIT:
            return said.say("a dropped clip may come again")
    return _taken(said, delivery)


def _taken(said: Texts, delivery: Delivery) -> str:
    parts = [
        said.say(
            "%(clips)s from %(name)s (%(importer)s), %(delivered)s delivered, %(length)s read",
            clips=counted(said, delivery.clips, "new clip"),
            name=delivery.name,
            importer=delivery.importer,
            delivered=counted(said, delivery.delivered, "clip"),
            length=duration(delivery.seconds),
        )
    ]
    if delivery.teacher:
        parts.append(said.say(", labelled by an adapter"))
    if number := delivery.relabelled:
        parts.append(said.say(", %(clips)s in place of pseudo-labels", clips=counted(said, number, "clip")))
    if number := delivery.quarantined:
        parts.append(said.say(", %(clips)s to quarantine", clips=counted(said, number, "clip")))
    if number := delivery.repeats:
        parts.append(said.say(", %(clips)s known already", clips=counted(said, number, "clip")))
    if number := delivery.withdrawn:
        parts.append(said.say(", %(clips)s left out as dropped", clips=counted(said, number, "clip")))
    if number := sum(delivery.filled.values()):
        parts.append(said.say(", %(clips)s placed by the rule for small slots", clips=counted(said, number, "clip")))
    if delivery.new_groups:
        parts.append(said.say(", new groups: %(groups)s", groups=", ".join(delivery.new_groups)))
    return "".join(parts)
