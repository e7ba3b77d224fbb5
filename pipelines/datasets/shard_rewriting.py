"""A folder of a slot before and after a change of some of its clips: shards are immutable, so new ones replace them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from elp_core.data.corpus import write_shard


@dataclass(frozen=True)
class RewrittenFolder:
    """The files of a folder that come, go and stay."""

    arriving: list[Path]
    leaving: list[Path]
    staying: list[Path]

    @property
    def files(self) -> list[Path]:
        """The files of the new version."""
        return self.staying + self.arriving


def rewrite_folder(
    shards: Sequence[Path],
    touched: Callable[[str], bool],
    rewrite: Callable[[dict[str, Any]], dict[str, Any] | None],
    stage: Path,
) -> RewrittenFolder:
    """Write new shards to `stage` in place of those with a clip (id) that is `touched`.

    `rewrite` returns a row as it is in the new shard, or None if it leaves.
    """
    arriving, leaving = [], []
    for shard in shards:
        if not any(map(touched, pq.read_table(shard, columns=["id"])["id"].to_pylist())):
            continue
        leaving.append(shard)
        rows = map(rewrite, pq.read_table(shard).to_pylist())
        if kept := [row for row in rows if row is not None]:
            arriving.append(write_shard(kept, stage))
    return RewrittenFolder(arriving, leaving, [shard for shard in shards if shard not in leaving])
