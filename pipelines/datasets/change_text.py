"""What a dataset version changed, in words."""

from pipelines.datasets.dataset_version import DROP_TAUGHT, READMIT, RENORMALISE, Delivery
from pipelines.number_text import count, duration


def change_text(delivery: Delivery) -> str:
    """Return what the version of a delivery changed, as a sentence without its full stop."""
    match delivery.importer:
        case "drop":
            return f"{count(-delivery.clips, 'clip')} dropped for good"
        case value if value == DROP_TAUGHT:
            return f"{count(-delivery.clips, 'clip')} with pseudo-labels dropped"
        case "correct":
            return f"{count(delivery.repeats, 'clip')} corrected"
        case "resplit":
            return f"{count(delivery.repeats, 'clip')} moved to another split"
        case value if value == RENORMALISE:
            return f"transcripts normalised again{_in_words(-delivery.clips, 'clip', ' moved to quarantine')}"
        case value if value == READMIT:
            return "a dropped clip may come again"
    return (
        f"{count(delivery.clips, 'new clip')} from {delivery.name} ({delivery.importer}), "
        f"{count(delivery.delivered, 'clip')} delivered, {duration(delivery.seconds)} read"
        + (", labelled by an adapter" if delivery.teacher else "")
        + _in_words(delivery.relabelled, "clip", " in place of pseudo-labels")
        + _in_words(delivery.quarantined, "clip", " to quarantine")
        + _in_words(delivery.repeats, "clip", " known already")
        + _in_words(delivery.withdrawn, "clip", " left out as dropped")
        + _in_words(sum(delivery.filled.values()), "clip", " placed by the rule for small slots")
        + (f", new groups: {', '.join(delivery.new_groups)}" if delivery.new_groups else "")
    )


def _in_words(number: int, noun: str, after: str) -> str:
    return f", {count(number, noun)}{after}" if number else ""
