"""ELP adapters: what learns, next to a backbone that does not change."""

from elp_core.adapters.elp_adapters import ElpAdapters
from elp_core.adapters.mixed import Part, mixed_frames
from elp_core.adapters.parts import INITIAL_GAIN

__all__ = ["INITIAL_GAIN", "ElpAdapters", "Part", "mixed_frames"]
