"""The backbone of a version: of those that the settings name, the one with the fingerprint of its bundle.

While a site changes to another backbone, its slots and their versions are on two, and each version is used on its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.errors import BackboneError, FingerprintMismatch
from pipelines.local.settings import Settings
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.backbones import Backbone


def backbone_of_bundle(settings: Settings, slot: Slot, folder: Path) -> Backbone:
    """Load the backbone of a bundle of a slot, whether the settings name it or not.

    Errors are those of `find_backbone`, and BundleError.
    """
    from elp_core.bundle import verify_bundle

    manifest = verify_bundle(folder)
    return find_backbone(settings, slot, manifest.fingerprint, manifest.backbone_id, as_named=True)


def find_backbone(settings: Settings, slot: Slot, fingerprint: str, name: str, *, as_named: bool = False) -> Backbone:
    """Load the backbone with a fingerprint: the slot's, or another one of the settings; the likeliest first.

    `name` is what the training of the version called it. With `as_named`, a checkpoint of this name counts although the
    settings do not name it. Raises FingerprintMismatch if none has the fingerprint, BackboneError if the slot's own
    cannot be loaded.
    """
    from elp_core.backbones import Backbone

    own = settings.backbone_of(slot)
    known = [one for one in settings.backbone_names if one == name]
    names = dict.fromkeys([*known, own, *settings.backbone_names, *([name] if as_named and name else [])])
    mismatch: FingerprintMismatch | None = None
    for one in names:
        try:
            found = Backbone.from_pretrained(one)
        except BackboneError:
            # another slot's may be missing here
            if one == own:
                raise
            continue
        if found.fingerprint == fingerprint:
            return found
        if mismatch is None or one == own:
            mismatch = FingerprintMismatch(fingerprint, found.fingerprint)
    assert mismatch is not None, "the slot's own backbone is loaded or raises"
    raise mismatch
