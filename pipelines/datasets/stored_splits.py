"""The splits of the speakers that a slot has: they are those of the stored clips, whatever the names would give."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from elp_core.types import Split
from pipelines.registry.names import normal_name


def stored_splits(shards: Sequence[Path]) -> dict[str, Split]:
    """Return the split of each stored speaker by the normal form of the name; one with several splits is left out.

    The shares of the policy may have changed, a source may have named the split, a correction or `elp data resplit` may
    have moved the speaker, a small slot may have had a split to fill, and older releases took the name as delivered.
    """
    homes: dict[str, set[Split]] = defaultdict(set)
    for shard in shards:
        table = pq.read_table(shard, columns=["speaker", "split"]).group_by(["speaker", "split"]).aggregate([])
        for row in table.to_pylist():
            homes[normal_name(row["speaker"])].add(row["split"])
    return {speaker: found.pop() for speaker, found in homes.items() if speaker and len(found) == 1}
