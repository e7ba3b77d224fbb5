"""A kit for tests: tiny random backbones of every family, tones and clips."""

from elp_core.testing.backbones import FAMILY_NAMES, tiny_backbone, tiny_model
from elp_core.testing.clips import random_clips, tone, waveform_batch

__all__ = ["FAMILY_NAMES", "random_clips", "tiny_backbone", "tiny_model", "tone", "waveform_batch"]
