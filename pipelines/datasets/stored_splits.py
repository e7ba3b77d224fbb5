"""The splits of speakers whose stored clips decide, not their names."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from elp_core.types import Split
from pipelines.registry.names import normal_name


def stored_splits(shards: Sequence[Path], *, every: bool = False) -> dict[str, Split]:
    """Return the split of each speaker whose stored name is not in normal form, by the normal form; `every` of all.

    Older releases derived the split from the name as it was delivered. New clips of such a speaker take the split of
    the stored ones: the normal form may give another. A corrected name need not give the split of its
    clips either. A speaker with several splits is left out.
    """
    homes: dict[str, set[Split]] = defaultdict(set)
    for shard in shards:
        table = pq.read_table(shard, columns=["speaker", "split"]).group_by(["speaker", "split"]).aggregate([])
        for row in table.to_pylist():
            if every or row["speaker"] != normal_name(row["speaker"]):
                homes[normal_name(row["speaker"])].add(row["split"])
    return {speaker: found.pop() for speaker, found in homes.items() if speaker and len(found) == 1}
