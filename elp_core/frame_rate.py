"""Frames a second of a backbone, from its configuration alone: for checks that need neither torch nor the weights."""

import json
import math
from pathlib import Path

from elp_core.checkpoint_folders import is_hub_id, local_folder
from elp_core.types import SAMPLE_RATE

USUAL_FRAME_RATE = 50.0
"""Frames a second of the published checkpoints of every supported family: one every 20 ms."""
_TINY = Path(__file__).parent / "backbones" / "tiny"


def frame_rate(id_or_path: str) -> float:
    """Return the frames a second of a checkpoint folder, a hub id or ``elp:tiny``.

    Nothing is fetched: a hub id that is not in the cache of this machine, or a configuration that cannot be read, gives
    `USUAL_FRAME_RATE`. Loading the backbone then says what is wrong with it.
    """
    path = _config_file(id_or_path)
    try:
        strides = json.loads(path.read_text("utf-8"))["conv_stride"] if path else None
        return SAMPLE_RATE / math.prod(strides) if strides else USUAL_FRAME_RATE
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return USUAL_FRAME_RATE


def _config_file(id_or_path: str) -> Path | None:
    if id_or_path == "elp:tiny":
        return _TINY / "config.json"
    if folder := local_folder(id_or_path):
        return folder / "config.json"
    if not is_hub_id(id_or_path):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(id_or_path, "config.json")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None
