"""Training of adapters, one or several in a pass: batches, the loop, checkpoints and events."""

from elp_core.training.events import EpochRecord, Observer, Silent, TrainResult
from elp_core.training.loop import train, train_together
from elp_core.training.run import Job

__all__ = ["EpochRecord", "Job", "Observer", "Silent", "TrainResult", "train", "train_together"]
