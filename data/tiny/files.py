"""Write the recipe's files whole: JSON, arrays, tables and tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from elp_core.files import replacing, write_whole


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented, with a final newline."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write a `.npy` file without pickle."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file of tensors [any shape]."""
    with replacing(path) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary, metadata)
        temporary.chmod(0o644)  # safetensors makes files that only their owner may read
