"""Whose data the pages may show: that of the workspace that started the server, to callers with the right to read.

A server that several workspaces share shows the data of none.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flask import abort

from pipelines.errors import UsageError, WorkspaceError
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import log_path, opened_log, stamp
from pipelines.request_log.log_reading import SpeechlessCount, count_speechless
from pipelines.server.auth.principal import READ, authorize
from pipelines.server.refusal import Attempt

if TYPE_CHECKING:
    from pipelines.datasets.slot_data import SlotData

DATA_ROOT = "ELP_DATA_ROOT"
"""Environment variable: the workspace whose recordings the pages may show and play."""
SPEECHLESS_DAYS = 7
"""Days whose share of requests without speech is compared with the share before."""
_CLIP = re.compile(r"[0-9a-f]{64}")


def data_root() -> Path | None:
    """Return the workspace whose data this server may show, or None."""
    root = os.environ.get(DATA_ROOT, "")
    return Path(root) if root else None


def read_slot(site: str, task: str) -> Slot:
    """Return the slot of an address if the caller may read its data; answer 404 for a name that no slot has."""
    try:
        slot = Slot.parse(f"{site}/{task}")
    except UsageError:
        abort(404)
    # the recordings are personal data: a server without our middleware must refuse, too
    authorize(READ, Attempt("read the data of a slot", slot.model_name))
    return slot


def open_data(slot: Slot, version: int | None = None) -> SlotData | None:
    """Return the data of a slot; None if it has none, or this server may show none. Answer 404 for another version."""
    root = data_root()
    if root is None:
        return None
    # only servers with data need it
    from pipelines.datasets.slot_data import open_slot_data

    found = open_slot_data(root, slot, version)
    return abort(404) if found is None and version is not None else found


def request_log(slot: Slot) -> Path | None:
    """Return the log of the requests that were served for a slot; None if this server knows none."""
    root = data_root()
    path = log_path(root / ".elp", slot) if root else None
    return path if path and path.is_file() else None


def speechless_requests(slot: Slot, now: datetime) -> tuple[SpeechlessCount, SpeechlessCount] | None:
    """Return how many logged requests had no speech in the last `SPEECHLESS_DAYS`, and before; None without a log."""
    if (path := request_log(slot)) is None:
        return None
    begin = stamp(now - timedelta(days=SPEECHLESS_DAYS))
    try:
        with opened_log(path) as db:
            return count_speechless(db, begin, stamp(now)), count_speechless(db, "", begin)
    except WorkspaceError:
        # the page of the requests says why the log cannot be read
        return SpeechlessCount(0, 0), SpeechlessCount(0, 0)


def clip_id(text: str) -> str:
    """Return the id of a clip in an address; answer 404 for a text that is none."""
    return text if _CLIP.fullmatch(text) else abort(404)
