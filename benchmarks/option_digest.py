"""A name for the options of a benchmark, so that a record has no result of other options."""

from __future__ import annotations

import argparse
import hashlib
import json


def option_digest(options: argparse.Namespace, *apart: str) -> str:
    """Return eight hexadecimal digits of all options but those in `apart`, which change no single result."""
    values = {name: str(value) for name, value in vars(options).items() if name not in apart}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
