"""A short training for benchmarks: an L-only adapter, without masks and joined clips.

No state of the backbone changes, so the frozen prefix runs once for each copy of a clip, and not in each step.
"""

from dataclasses import replace

from elp_core.config import ElpConfig, TrainConfig

LIGHT_ADAPTER = ElpConfig(encoder=None, prompt=None, tune_norms=False)


def light_training(config: TrainConfig) -> TrainConfig:
    """Return a training whose copies keep the values of the whole prefix."""
    return replace(config, augment=replace(config.augment, time_mask=0.0, feature_mask=0.0, join=0.0))
