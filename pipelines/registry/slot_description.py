"""The text of a slot's page in MLflow: what the slot is, its champion, and the way to the console."""

from pipelines.registry.description import code_span
from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.slot import Slot


def slot_description(slot: Slot, champion: str = "") -> str:
    """Return the Markdown text of a slot's page, one paragraph; without `champion`, the slot has none."""
    return (
        f"{_opening(slot)} Each version is one adapter bundle on a shared frozen backbone; the alias champion serves. "
        f"**Champion:** {champion or 'none'}. [History, lineage and ledger of {slot}](elp/slots/{slot})"
    )


def champion_link(slot: Slot, entry: LedgerEntry) -> str:
    """Return the champion that a ledger entry made, with a link to its page; empty if it left the slot without one."""
    if entry.after is None:
        return ""
    page = f"[version {entry.after}](#/models/{slot.model_name}/versions/{entry.after})"
    return f"{page}, {entry.event} at {entry.at[:19]}Z by {code_span(entry.principal.name)}"


def with_champion(description: str, slot: Slot, champion: str) -> str:
    """Return a slot's description with its present champion.

    Only the paragraph that `slot_description` wrote is replaced: what users wrote stays, in its place or below.
    """
    first, blank, rest = description.replace("\r\n", "\n").partition("\n\n")
    if first and not first.startswith(_opening(slot)):
        return description
    return slot_description(slot, champion) + blank + rest


def _opening(slot: Slot) -> str:
    return f"Adapters of site {slot.site} for task {slot.task}."
