"""Digests of what is said of clips: they recognise words, and do not reveal them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq


def words_digest(clip: str, text: str, speaker: str, label: str, split: str) -> str:
    """Return 16 hexadecimal digits for what a delivery says of a clip."""
    words = json.dumps([clip, text, speaker, label, split])
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def words_of_shards(shards: Iterable[Path]) -> str:
    """Return the ``sha256:…`` of what shards say of their clips."""
    columns = ["id", "text", "speaker", "label", "condition"]
    rows = (row for shard in shards for row in pq.read_table(shard, columns=columns).to_pylist())
    words = sorted([row[name] for name in columns] for row in rows)
    return "sha256:" + hashlib.sha256(json.dumps(words).encode()).hexdigest()
