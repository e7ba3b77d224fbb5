"""The last delivery to a slot that was refused as a whole: why, and which of its clips could not be used.

It is kept in the state folder of the workspace, in no version, until a delivery is taken in or a drop is asked for.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from pipelines.datasets.dataset_version import utc_seconds
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.quarantine import QuarantinedClip
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class RefusedDelivery:
    """A delivery that made no version."""

    source: str
    created: str
    """UTC, ISO 8601."""
    faults: tuple[str, ...]
    """Why it was refused."""
    clips: tuple[QuarantinedClip, ...]
    """Its clips that could not be used, by path."""


def keep_refused(
    workspace: Workspace, slot: Slot, source: str, faults: Sequence[str], bad: Iterable[tuple[SourceClip, ClipFault]]
) -> None:
    """Keep the list of a refused delivery, in place of that of the one before."""
    clips = [QuarantinedClip(clip.sha256, clip.path, fault.reason, fault.detail) for clip, fault in bad]
    clips.sort(key=lambda clip: (clip.path, clip.reason))
    record = RefusedDelivery(source, utc_seconds(), tuple(faults), tuple(clips))
    write_whole(_file(workspace, slot), json.dumps(asdict(record), ensure_ascii=False))


def last_refused(workspace: Workspace, slot: Slot) -> RefusedDelivery | None:
    """Return the last refused delivery; None if a delivery was taken in since, or none was refused."""
    path = _file(workspace, slot)
    if not path.is_file():
        return None
    try:
        return from_dict(RefusedDelivery, json.loads(path.read_text(encoding="utf-8")), path.name)
    except (ValueError, ConfigError):
        # a damaged list is none: the delivery itself can be tried again
        return None


def forget_refused(workspace: Workspace, slot: Slot) -> None:
    """Remove the list: it names files of people, and quotes transcripts of them, that may have to be erased."""
    _file(workspace, slot).unlink(missing_ok=True)


def _file(workspace: Workspace, slot: Slot) -> Path:
    return workspace.state / "refused" / f"{slot.site}.{slot.task}.json"
