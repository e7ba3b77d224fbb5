"""Which backbones a champion may be on: the records and the policy of `elp.yaml`, and the decision. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError
from pipelines.registry.known_backbones import (
    AS_PUBLISHED,
    EMBEDDED,
    CommercialUse,
    always_forbidden,
    commercial_use,
    published_origin,
    spdx_spelling,
)
from pipelines.registry.lineage import BackboneName, BackboneOrigin

BACKBONES_VARIABLE = "ELP_BACKBONES"
"""Environment variable of the server: the policy with its records, as JSON."""
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class BackboneRecord:
    """`backbones.records.<fingerprint>` in `elp.yaml`: what `elp backbone add` wrote."""

    id: str
    """Hub id or path that it was added by."""
    licence: str
    """SPDX identifier, or ``LicenseRef-NAME``."""
    commercial: CommercialUse
    source: str
    pretraining: str
    added_by: str = ""
    added: str = ""
    """UTC, ISO 8601."""
    despite: str = ""
    """What contradicts the licence: the card, the publication, a stricter record before; empty if nothing does."""

    def __post_init__(self) -> None:
        faults = []
        # an older release took other spellings, and allowed what is forbidden by the list of now: the gate decides
        if not self.licence or spdx_spelling(self.licence).casefold() != self.licence.casefold():
            faults.append(f"licence is {self.licence!r}, expected an SPDX identifier such as Apache-2.0")
        if always_forbidden(self.licence) and self.commercial != "forbidden":
            faults.append(f"commercial is {self.commercial}, but {self.licence} forbids it; expected forbidden")
        faults += [f"{name} is empty" for name in ("id", "source", "pretraining") if not getattr(self, name).strip()]
        if faults:
            raise ConfigError(type(self).__name__, faults)

    @property
    def origin(self) -> BackboneOrigin:
        """Return what lineages name; what contradicts the licence is said with the source."""
        source = f"{self.source} (recorded although {self.despite})" if self.despite else self.source
        return BackboneOrigin(self.licence, self.commercial, source, self.pretraining)


@dataclass(frozen=True)
class BackbonePolicy:
    """`backbones` in `elp.yaml`: which licences a champion's backbone may have, and what is recorded of backbones."""

    allow: tuple[str, ...] = ()
    """SPDX identifiers that a champion's backbone may have; empty: every one that does not forbid commercial use."""
    unknown: Literal["allow", "refuse"] = "allow"
    """What becomes of a backbone without a record, or with a licence whose commercial use is unknown."""
    records: Mapping[str, BackboneRecord] = field(default_factory=dict)
    """By fingerprint."""

    def __post_init__(self) -> None:
        faults = [f"allow names {one!r}, which is no SPDX identifier" for one in self.allow if not spdx_spelling(one)]
        faults += [
            f"allow names {one}, which forbids commercial use; a champion on it takes an override by two people"
            for one in self.allow
            if always_forbidden(one)
        ]
        faults += [
            f"records has the key {one!r}, expected a fingerprint, sha256: and 64 digits"
            for one in self.records
            if not _FINGERPRINT.fullmatch(one)
        ]
        if faults:
            raise ConfigError(type(self).__name__, faults)

    def origin_of(self, backbone: BackboneName) -> BackboneOrigin:
        """Return what is recorded of a backbone; the embedded one needs no record. Empty if there is none."""
        record = self.records.get(backbone.fingerprint)
        if record:
            return record.origin
        embedded = published_origin(backbone.id) if backbone.id == EMBEDDED else None
        return embedded or BackboneOrigin()

    def to_environment(self) -> str:
        """Return the value of `BACKBONES_VARIABLE`."""
        return json.dumps(to_dict(self))

    @classmethod
    def from_environment(cls, text: str) -> "BackbonePolicy":
        """Read what `to_environment` gave; an empty text is the default policy."""
        return from_dict(cls, json.loads(text), BACKBONES_VARIABLE) if text else cls()


LicenceRule = Literal["forbidden", "unlisted", "unknown", "published", "unrecorded"]
"""Which rule keeps an adapter from being champion: of its recorded licence, or of a licence that nobody recorded."""


@dataclass(frozen=True)
class LicenceFault:
    """Why the licence of its backbone keeps an adapter from being champion; its text is an English sentence."""

    rule: LicenceRule
    backbone: str
    """Id, or the first digits of the fingerprint."""
    licence: str = ""
    """The recorded one, or that of the publication; empty if it is not known."""
    allowed: tuple[str, ...] = ()
    """The list that the licence is not on."""

    def __str__(self) -> str:
        under = f"its backbone {self.backbone} is under {self.licence}"
        sentences: dict[LicenceRule, str] = {
            "forbidden": f"{under}, which forbids commercial use",
            "unlisted": f"{under}, which is not on the list backbones.allow ({', '.join(self.allowed)})",
            "unknown": f"{under}, whose commercial use is unknown, and the policy refuses unknown ones",
            "published": (
                f"its backbone {self.backbone} has no recorded licence and was published under {self.licence}, which "
                f"forbids commercial use (as of {AS_PUBLISHED})"
            ),
            "unrecorded": (
                f"its backbone {self.backbone} has no recorded licence, and the policy refuses unknown ones"
            ),
        }
        return sentences[self.rule]


def licence_fault(backbone: BackboneName, signed: BackboneOrigin, policy: BackbonePolicy) -> str:
    """Return what `find_licence_fault` finds, as a sentence; empty if it finds nothing."""
    return str(find_licence_fault(backbone, signed, policy) or "")


def find_licence_fault(backbone: BackboneName, signed: BackboneOrigin, policy: BackbonePolicy) -> LicenceFault | None:
    """Return why the licence of its backbone keeps an adapter from being champion; None if it does not.

    `signed` is what the lineage says. The records count, too, because an adapter may be older than its record. Without
    both, a well-known checkpoint counts as it is published, if that forbids commercial use.
    """
    recorded = policy.origin_of(backbone)
    origins = [one for one in (signed, recorded) if one.licence]
    if origins:
        return next((fault for one in origins if (fault := _origin_fault(backbone, one, policy))), None)
    published = published_origin(backbone.id)
    if published and published.commercial == "forbidden":
        return LicenceFault("published", backbone.id, published.licence)
    return LicenceFault("unrecorded", _shown(backbone)) if policy.unknown == "refuse" else None


def licence_warning(backbone: BackboneName, policy: BackbonePolicy) -> str:
    """Return a warning about a training on a backbone: it may have no champion, or has no record; empty if neither."""
    origin = policy.origin_of(backbone)
    if fault := licence_fault(backbone, origin, policy):
        return f"warning: {fault}; a champion on it takes an override by two people"
    if origin.licence:
        return ""
    return f"warning: the licence of the backbone is unknown; record it: elp backbone add {_shown(backbone)}"


def _origin_fault(backbone: BackboneName, origin: BackboneOrigin, policy: BackbonePolicy) -> LicenceFault | None:
    if "forbidden" in (origin.commercial, commercial_use(origin.licence)):
        return LicenceFault("forbidden", _shown(backbone), origin.licence)
    listed = {spdx_spelling(one).casefold() for one in policy.allow}
    if listed and origin.licence.casefold() not in listed:
        return LicenceFault("unlisted", _shown(backbone), origin.licence, policy.allow)
    if not listed and origin.commercial != "allowed" and policy.unknown == "refuse":
        return LicenceFault("unknown", _shown(backbone), origin.licence)
    return None


def _shown(backbone: BackboneName) -> str:
    return backbone.id or backbone.fingerprint[:19]
