"""ELP adapters: what is learned, beside a backbone that stays as it is."""

from elp_core.adapters.attach import ElpAdapters
from elp_core.adapters.encoder import INITIAL_GAIN
from elp_core.adapters.mixed import Part, mixed_frames

__all__ = ["INITIAL_GAIN", "ElpAdapters", "Part", "mixed_frames"]
