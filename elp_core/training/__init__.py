"""Training of adapters, one or several in a pass: the start, batches, the loop, checkpoints and events."""

from elp_core.training.events import EpochRecord, Observer, Silent, TrainResult
from elp_core.training.loop import train, train_together
from elp_core.training.run import Job
from elp_core.training.warm_start import head_obstacle, start_from

__all__ = [
    "EpochRecord",
    "Job",
    "Observer",
    "Silent",
    "TrainResult",
    "head_obstacle",
    "start_from",
    "train",
    "train_together",
]
