"""Where the enrolled voices of a workspace or of a box are."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import WorkspaceError
from pipelines.local.workspace import Workspace
from pipelines.serving.voices.box_templates import box_templates, voices_at
from pipelines.serving.voices.template_store import RegistryTemplates, TemplateStore
from pipelines.serving.voices.voice_folder import VoiceFolder


@dataclass(frozen=True)
class VoicePlace:
    """The two halves: without the folder's key, what the store has does not open."""

    folder: VoiceFolder
    """The key and the kept recordings, on this machine."""
    store: TemplateStore
    """The sealed templates."""


def workspace_voices(workspace: Workspace, mlflow_uri: str) -> VoicePlace:
    """Return the voices whose templates are in the registry of a workspace."""
    return VoicePlace(VoiceFolder(workspace.state / "voices"), RegistryTemplates(mlflow_uri))


def box_voices(box: Path) -> VoicePlace:
    """Return the voices of a box, all of whose parts are in its folder.

    Recordings that an enrolment or a revocation left when the power went are removed.
    """
    folder, store = VoiceFolder(voices_at(box)), box_templates(box)
    with contextlib.suppress(WorkspaceError):
        # a damaged database is reported by what reads it, and stops no server of other slots
        folder.remove_others(store.live_voices)
    return VoicePlace(folder, store)
