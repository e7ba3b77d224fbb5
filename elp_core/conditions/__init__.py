"""Recording conditions that are simulated: rooms, disturbances and transmission, for training and for the sweep.

In the order in which sound meets them:

`speech_level`   the level of the speech in a clip, and mixing at an SNR over speech
`disturbances`   babble, a competing talker, and noises; those of training and those of the sweep are different kinds
`rooms`          responses of shoebox rooms (pyroomacoustics, extra ``rooms``), in small banks that are made once
`transmission`   bands, clipping, overdrive, lost packets and bursts
`codecs`         speech and music codecs in memory, their delay removed
`families`       the tables: what training draws from, and the families and severities of the sweep
`changed_clips`  clips under a condition of the sweep, and how far the condition changes the sound

Each function takes float32 [samples] at 16 kHz and a NumPy generator, and returns as many samples. No family, kind of
noise, codec or range of a parameter is in both tables.

>>> from elp_core.conditions import SWEEP_FAMILIES
>>> [family.name for family in SWEEP_FAMILIES][:3]
['hall', 'talker', 'traffic']
"""

from elp_core.conditions.changed_clips import changed_clip, spectral_distance
from elp_core.conditions.families import (
    SEVERITIES,
    SWEEP_FAMILIES,
    TRAINING_FAMILIES,
    SweepFamily,
    TrainingFamily,
    draw_conditions,
    require_families,
    sweep_family,
)

__all__ = [
    "SEVERITIES",
    "SWEEP_FAMILIES",
    "TRAINING_FAMILIES",
    "SweepFamily",
    "TrainingFamily",
    "changed_clip",
    "draw_conditions",
    "require_families",
    "spectral_distance",
    "sweep_family",
]
