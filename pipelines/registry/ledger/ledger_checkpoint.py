"""The checkpoint of the ledger: number and hash of its newest entry, in a file outside the database.

A ledger that ends before its checkpoint was cut. The file and the environment variable had other names in release
0.1.0: the file keeps its name, and the old variable is still read.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from elp_core.files import write_whole
from pipelines.errors import AttestationError
from pipelines.locks import file_lock
from pipelines.registry.ledger.entry import Head
from pipelines.registry.signing.canonical_json import parse_json

CHECKPOINT_VARIABLE, OLD_VARIABLE = "ELP_LEDGER_CHECKPOINT", "ELP_LEDGER_HEAD"
FILE = "ledger-head.json"


def checkpoint_file(state: Path) -> Path:
    """Return the path in ELP_LEDGER_CHECKPOINT, or `ledger-head.json` in the workspace's state folder (``.elp``)."""
    named = os.environ.get(CHECKPOINT_VARIABLE) or os.environ.get(OLD_VARIABLE)
    return Path(named).expanduser() if named else state / FILE


def read_ledger_checkpoint(path: Path) -> Head | None:
    """Return the head that was written last, or None; raise AttestationError if the file is damaged."""
    try:
        values = parse_json(path.read_bytes(), str(path))
        head = Head(**values)
    except FileNotFoundError:
        return None
    except TypeError as error:
        raise AttestationError("malformed", f"{path} is not a checkpoint: {error}") from error
    # not isinstance: True is an int for it
    if len(values) != 2 or type(head.seq) is not int or not isinstance(head.hash, str):
        raise AttestationError("malformed", f"{path} is not a checkpoint: expected a number and a hash")
    return head


def write_ledger_checkpoint(path: Path, head: Head, known: Callable[[int], str | None] | None = None) -> None:
    """Move the checkpoint forward to `head`; one that is further already stays, because writers come in any order.

    `known` returns the hash of the ledger's entry with a number. If it is not the checkpoint's, the ledger was cut and
    continued: that is an AttestationError, and the checkpoint stays unchanged, so that the audit finds the place.
    """
    with file_lock(path.with_name(path.name + ".lock")):
        present = read_ledger_checkpoint(path)
        if present is not None and present.seq and known is not None and known(present.seq) != present.hash:
            raise AttestationError(
                "mismatch",
                f"the ledger does not have entry {present.seq} as its checkpoint {path} names it: it was cut or "
                "replaced; find the place with: elp audit --verify",
            )
        if present is None or present.seq < head.seq:
            write_whole(path, json.dumps(asdict(head)) + "\n")
