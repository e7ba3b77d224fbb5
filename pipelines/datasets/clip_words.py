"""Digests of what is said of clips: they recognise words, and do not reveal them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from elp_core.groups import GROUP
from pipelines.datasets.shard_columns import read_columns


def words_digest(clip: str, text: str, speaker: str, label: str, split: str, group: str = "") -> str:
    """Return 16 hexadecimal digits for what a delivery says of a clip."""
    words = json.dumps([clip, text, speaker, label, split, *([group] if group else [])])
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def words_of_shards(shards: Iterable[Path]) -> str:
    """Return the ``sha256:…`` of what shards say of their clips; of clips without groups, as older releases did."""
    columns = ["id", "text", "speaker", "label", "condition"]
    rows = (row for shard in shards for row in read_columns(shard, [*columns, GROUP]).to_pylist())
    words = sorted([*(row[name] for name in columns), *([row[GROUP]] if row[GROUP] else [])] for row in rows)
    return "sha256:" + hashlib.sha256(json.dumps(words).encode()).hexdigest()
