"""Training of adapters, one or several in a pass: what is learned from, the loop, its checkpoints and its events."""

from elp_core.training.events import EpochRecord, Observer, Silent, TrainResult
from elp_core.training.loop import train
from elp_core.training.together import Job, train_together

__all__ = ["EpochRecord", "Job", "Observer", "Silent", "TrainResult", "train", "train_together"]
