"""A look of the monitor in a workspace, and where it finds the audio: what is named, the settings, or the log."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.monitoring.look_list import monitor_folder
from pipelines.monitoring.monitor_slot import LookResult, monitor_slot
from pipelines.monitoring.sent_audio import AudioSource, SentAudio
from pipelines.monitoring.served_audio import ServedAudio
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import log_path


def audio_source(
    workspace: Workspace, slot: Slot, named: str, column: str, log: Callable[[str], None]
) -> AudioSource | None:
    """Return the source of a look: `named`, or else `monitor.source`, or else the request log; None without any.

    Of `monitor.source` and of the log, nothing new is no fault.
    """
    path = named or workspace.settings.for_slot(slot).monitor.source_of(slot.site, slot.task)
    if path:
        return SentAudio(workspace.root / path, column, may_be_empty=True, log=log)
    if log_path(workspace.state, slot).is_file():
        return ServedAudio(workspace.state, slot, log)
    return None


def look_at_source(workspace: Workspace, slot: Slot, source: AudioSource, log: Callable[[str], None]) -> LookResult:
    """Take a look at what `source` has and record it, with the errors of `monitor_slot`; log what was left out."""
    done = monitor_slot(
        str(workspace.root),
        slot,
        workspace.settings,
        source,
        mlflow_uri=mlflow_uri(workspace),
        cache=workspace.cache,
        folder=monitor_folder(workspace.state, slot),
        log=log,
    )
    for fault in done.unreadable:
        log(f"left out: {fault}")
    return done
