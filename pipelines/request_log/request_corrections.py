"""What a person says of a logged request: the right words, and that it goes into the next dataset version."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from pipelines.errors import WorkspaceError
from pipelines.request_log.log_file import log_transaction


@dataclass(frozen=True)
class RequestCorrection:
    """The words of a person on a logged request. Times are UTC, ISO 8601."""

    text: str = ""
    """Transcript (asr)."""
    label: str = ""
    """Class (ser, sic)."""
    speaker: str = ""
    by: str = ""
    at: str = ""
    delivery: str = ""
    """Name of the delivery in the slot's inbox; empty if it was not taken."""
    taken_by: str = ""
    taken_at: str = ""


def find_correction(db: sqlite3.Connection, id_: str) -> RequestCorrection | None:
    """Return what a person said of a request, or None; raises WorkspaceError if the record is damaged."""
    row = db.execute("SELECT record FROM correction WHERE id = ?", (id_,)).fetchone()
    if row is None:
        return None
    try:
        return from_dict(RequestCorrection, json.loads(row[0]), "correction")
    except (ValueError, ConfigError) as error:
        raise WorkspaceError(f"the correction of request {id_} is damaged ({error}); correct it again") from error


def put_correction(db: sqlite3.Connection, id_: str, correction: RequestCorrection) -> None:
    """Keep what a person said of a request, in place of what was said before."""
    text = json.dumps(asdict(correction), ensure_ascii=False)
    with log_transaction(db):
        db.execute("INSERT OR REPLACE INTO correction VALUES (?, ?)", (id_, text))
