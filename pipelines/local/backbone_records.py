"""Records of backbones in `elp.yaml`: what `elp backbone add` writes, and what `elp backbone list` shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from elp_core.checkpoint_folders import local_folder
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from pipelines.errors import UsageError
from pipelines.local.model_card import ModelCard, fetch_card, read_card
from pipelines.local.settings import read_settings
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.local.yaml_splice import set_in_yaml
from pipelines.registry.backbone_licence import BackbonePolicy, BackboneRecord, licence_fault
from pipelines.registry.known_backbones import (
    AS_PUBLISHED,
    EMBEDDED,
    CommercialUse,
    commercial_use,
    published_origin,
    spdx_spelling,
)
from pipelines.registry.lineage import BackboneName, BackboneOrigin

_STRICTNESS: dict[str, int] = {"allowed": 0, "unknown": 1, "forbidden": 2}
_CLAUSES = re.compile(r" and (?=its card says |it was published under |it was recorded under )")
_NAMED = re.compile(r"(?:says|under) (\S+)(?: \(commercial use: (allowed|unknown|forbidden)\))?")
"""The texts of `BackboneRecord.despite`: they are joined with "and", and each names one licence."""


@dataclass(frozen=True)
class StatedOrigin:
    """What the user says about a backbone; an empty text is not said."""

    licence: str = ""
    commercial: CommercialUse | None = None
    source: str = ""
    pretraining: str = ""
    despite_card: bool = False
    """Whether the licence may differ from the card's and the published one, and allow more than the present record."""


@dataclass(frozen=True)
class RecordedBackbone:
    """A backbone with what is recorded of it, for people."""

    id: str
    fingerprint: str
    """Empty if the backbone is in use and has no record."""
    origin: BackboneOrigin
    added_by: str = ""
    added: str = ""
    in_use: bool = False
    """Whether `backbone` of the settings, or of one of their slots, names it."""
    champion: str = ""
    """Why no champion may be on it without an override; empty if one may."""


def add_record(workspace: Workspace, name: str, stated: StatedOrigin, by: str) -> RecordedBackbone:
    """Load a backbone, and write its record into `elp.yaml`; a record of the same fingerprint is replaced.

    Raises UsageError if the licence is missing, is no identifier, differs from what the checkpoint says, or allows more
    than the record that it would replace. A record that is written all the same names what contradicts it.
    """
    from elp_core.backbones import Backbone
    from elp_core.backbones.weights import find_folder

    if name == EMBEDDED:
        raise UsageError(f"{EMBEDDED} is part of the package and needs no record; see: elp backbone show {EMBEDDED}")
    name = workspace.backbone_name(name)
    backbone = Backbone.from_pretrained(name)
    on_hub = local_folder(name) is None
    if on_hub:
        fetch_card(name)
    card = read_card(find_folder(name))
    policy = workspace.settings.backbones
    record = _record(name, stated, card, by, on_hub=on_hub)
    present = policy.records.get(backbone.fingerprint)
    record = _despite_present(record, present, policy, stated)
    path = workspace.root / SETTINGS_FILE
    # not as text: that would change the ends of lines
    before = path.read_bytes().decode("utf-8")
    place = ("backbones", "records", backbone.fingerprint)
    # an empty text replaces another one only
    optional = {"despite"} if not (present and present.despite) else set()
    values = [((*place, key), value) for key, value in vars(record).items() if value or key not in optional]
    after = set_in_yaml(before, values, SETTINGS_FILE)
    policy = read_settings(after).backbones
    write_whole(path, after)
    return _recorded(policy, backbone.fingerprint, workspace.settings.backbone_names)


def list_records(workspace: Workspace) -> list[RecordedBackbone]:
    """Return the embedded backbone, the records, and the backbones in use that have none; nothing is loaded."""
    return list(_listed(workspace.settings.backbones, workspace.settings.backbone_names))


def find_record(workspace: Workspace, name: str) -> RecordedBackbone:
    """Return the backbone with this id or fingerprint, or with the only one that begins so."""
    listed = list_records(workspace)
    found = [one for one in listed if one.id == name]
    found = found or [one for one in listed if one.fingerprint.startswith("sha256:" + name.removeprefix("sha256:"))]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"{name} has no record; add one: elp backbone add {name} --licence SPDX, or: elp backbone list"
        )
    raise UsageError(f"{name} names {len(found)} records; give more of the fingerprint: elp backbone list")


def _record(name: str, stated: StatedOrigin, card: ModelCard, by: str, *, on_hub: bool) -> BackboneRecord:
    published = published_origin(name) or published_origin(card.name) or BackboneOrigin()
    licence, against = _licence(name, stated, card, published)
    use = commercial_use(licence)
    if use == "unknown" and stated.commercial is None:
        raise UsageError(
            f"{licence} is not in the list of licences; say whether it lets a company use the backbone: "
            "--commercial allowed, forbidden or unknown"
        )
    if use == "forbidden" and stated.commercial not in (None, "forbidden"):
        raise UsageError(f"commercial is {stated.commercial}, but {licence} forbids it; expected forbidden")
    source = stated.source or (f"hub {name}" + (f" at {card.revision}" if card.revision else "") if on_hub else "")
    if not source:
        raise UsageError(f"say where {name} came from: --source TEXT, such as a hub id with its revision")
    if not stated.pretraining:
        hint = f"; published on {AS_PUBLISHED}, check: {published.pretraining}" if published.pretraining else ""
        raise UsageError(f"say what {name} was pre-trained on, with hours: --pretraining TEXT{hint}")
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return BackboneRecord(name, licence, stated.commercial or use, source, stated.pretraining, by, moment, against)
    except ConfigError as error:
        raise UsageError("; ".join(error.faults)) from error


def _licence(name: str, stated: StatedOrigin, card: ModelCard, published: BackboneOrigin) -> tuple[str, str]:
    """Return the licence to record, and what contradicts it; refuse a contradiction unless it is meant."""
    on_card = spdx_spelling(card.licence)
    licence = spdx_spelling(stated.licence) if stated.licence else on_card
    if not licence and (stated.licence or card.licence):
        said, where = (stated.licence, "--licence") if stated.licence else (card.licence, f"the card of {name}")
        raise UsageError(f"{where} says {said!r}, which is no SPDX identifier; expected one such as Apache-2.0")
    if not licence:
        hint = ""
        if published.licence:
            hint = f"; as published on {AS_PUBLISHED}, check: --licence {published.licence}"
            hint += f" --pretraining {shlex.quote(published.pretraining)}"
        raise UsageError(f"{name} has no card with a licence; give it: --licence SPDX{hint}")
    others = {f"its card says {on_card}": on_card, f"it was published under {published.licence}": published.licence}
    against = " and ".join(text for text, other in others.items() if other and other.casefold() != licence.casefold())
    if against and not stated.despite_card:
        raise UsageError(
            f"{licence} is not what {name} says: {against}; correct --licence, or if another licence was granted to "
            "you, add --despite-card"
        )
    return licence, against


def _despite_present(
    record: BackboneRecord, present: BackboneRecord | None, policy: BackbonePolicy, stated: StatedOrigin
) -> BackboneRecord:
    """Return a record with what the record that it replaces says against it; refuse it unless it is meant."""
    if present is None:
        return record
    named = _CLAUSES.split(present.despite) if present.despite else []
    # what the new record no longer contradicts is left out
    against = " and ".join(text for text in named if _allows_more(record.origin, _named_origin(text), policy))
    if _allows_more(record.origin, present.origin, policy):
        was = f"{present.licence} (commercial use: {present.commercial})"
        if not stated.despite_card:
            raise UsageError(
                f"the same weights are recorded under {was}, and {record.licence} allows more; correct --licence, or "
                "if another licence was granted to you, add --despite-card"
            )
        against = " and ".join(filter(None, (against, f"it was recorded under {was} by {present.added_by}")))
    # of the card, once
    more = "" if record.despite in against else record.despite
    return replace(record, despite=" and ".join(filter(None, (against, more))))


def _named_origin(text: str) -> BackboneOrigin:
    """Return the licence that a text about a contradiction names, with its commercial use."""
    found = _NAMED.search(text)
    licence, use = (found[1], found[2]) if found else ("", None)
    return BackboneOrigin(licence, use or commercial_use(licence))


def _allows_more(now: BackboneOrigin, then: BackboneOrigin, policy: BackbonePolicy) -> bool:
    if _STRICTNESS[now.commercial] < _STRICTNESS[then.commercial]:
        return True
    before, after = (licence_fault(BackboneName(), one, policy) for one in (then, now))
    return bool(before) and not after


def _listed(policy: BackbonePolicy, in_use: tuple[str, ...]) -> Iterator[RecordedBackbone]:
    embedded = BackboneName(EMBEDDED)
    origin = policy.origin_of(embedded)
    yield RecordedBackbone(EMBEDDED, "", origin, "", "", EMBEDDED in in_use, licence_fault(embedded, origin, policy))
    for fingerprint in policy.records:
        yield _recorded(policy, fingerprint, in_use)
    known = {EMBEDDED, *(record.id for record in policy.records.values())}
    for name in in_use:
        if name not in known:
            fault = licence_fault(BackboneName(name), BackboneOrigin(), policy)
            yield RecordedBackbone(name, "", BackboneOrigin(), in_use=True, champion=fault)


def _recorded(policy: BackbonePolicy, fingerprint: str, in_use: tuple[str, ...]) -> RecordedBackbone:
    record = policy.records[fingerprint]
    fault = licence_fault(BackboneName(record.id, fingerprint), record.origin, policy)
    return RecordedBackbone(
        record.id, fingerprint, record.origin, record.added_by, record.added, record.id in in_use, fault
    )
