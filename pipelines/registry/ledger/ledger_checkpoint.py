"""The anchor: how far the ledger has come, in a file outside the database. A ledger that does not reach it was cut."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import Head
from pipelines.registry.signing.canonical_json import parse_json

VARIABLE = "ELP_LEDGER_HEAD"
FILE = "ledger-head.json"


def checkpoint_file(state: Path) -> Path:
    """ELP_LEDGER_HEAD, else `ledger-head.json` in the workspace's state folder (``.elp``)."""
    told = os.environ.get(VARIABLE)
    return Path(told).expanduser() if told else state / FILE


def read_checkpoint(path: Path) -> Head | None:
    """The head that was written last, or None where none was yet.

    Raises:
        AttestationError: where the file is damaged.
    """
    try:
        values = parse_json(path.read_bytes(), str(path))
        head = Head(**values)
    except FileNotFoundError:
        return None
    except TypeError as error:
        raise AttestationError("malformed", f"{path} is no anchor: {error}") from error
    if len(values) != 2 or type(head.seq) is not int or not isinstance(head.hash, str):
        raise AttestationError("malformed", f"{path} is no anchor: expected a number and a hash")
    return head


def write_checkpoint(path: Path, head: Head, known: Callable[[int], str | None] | None = None) -> None:
    """Move the anchor to `head`, whole or not at all; one that is further already stays (writers come in any order).

    Args:
        path: Of the anchor.
        head: How far the ledger has come.
        known: Gives the hash that the ledger has under a number. Where it has not the anchor's, the ledger was cut and
            written on: the anchor stays where it is, so that the audit finds the place.

    Raises:
        AttestationError: where the file is damaged, or the ledger is not the one that the anchor knows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        present = read_checkpoint(path)
        if present is not None and present.seq and known is not None and known(present.seq) != present.hash:
            raise AttestationError(
                "mismatch",
                f"the ledger has not the entry {present.seq} that {path} knows: it was cut or replaced; look: "
                "elp audit --verify",
            )
        if present is not None and present.seq >= head.seq:
            return
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(asdict(head)) + "\n", encoding="utf-8")
        os.replace(scratch, path)
