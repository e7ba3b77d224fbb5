"""ELP adapters: what is learned, beside a backbone that stays as it is."""

from elp_core.adapters.attach import ElpAdapters
from elp_core.adapters.encoder import INITIAL_GAIN

__all__ = ["INITIAL_GAIN", "ElpAdapters"]
