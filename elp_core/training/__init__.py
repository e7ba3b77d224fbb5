"""Training of one adapter: what is learned from, the loop, its checkpoints and its events."""

from elp_core.training.events import EpochRecord, Observer, Silent, TrainResult
from elp_core.training.loop import train

__all__ = ["EpochRecord", "Observer", "Silent", "TrainResult", "train"]
