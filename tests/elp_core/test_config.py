from __future__ import annotations

import math
from typing import Any

import pytest

from elp_core.config import AugmentConfig, TrainConfig, from_dict
from elp_core.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"patience": -1}, "patience is -1, expected 0 or more"),
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"weight_decay": math.nan}, "weight_decay is nan, expected 0 or more"),
        ({"checkpoint_minutes": -0.5}, "checkpoint_minutes is -0.5"),
        ({"lr_head": math.inf}, "lr_head is inf, expected more than 0"),
        ({"precision": "fp8"}, "precision is 'fp8', expected one of no, bf16, fp16"),
        ({"device": "tpu"}, "device is 'tpu'"),
    ],
)
def test_a_run_with_a_value_out_of_its_range_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TrainConfig(**values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"join": 2.0}, "join is 2.0, expected 0.0 to 1.0"),  # training would never come to an end
        ({"noise_probability": 5.0}, "noise_probability is 5.0, expected 0.0 to 1.0"),
        ({"time_mask": -0.1}, "time_mask is -0.1"),
        ({"feature_mask": math.nan}, "feature_mask is nan"),
        ({"speed": 1.5}, "speed is 1.5, expected 0.0 to 0.9"),
        ({"noise_snr": (25.0, 5.0)}, r"noise_snr is \[25.0, 5.0\], expected two levels in dB, the lower one first"),
        ({"gain_db": -3.0}, "gain_db is -3.0, expected 0 or more"),
        ({"gain_db": math.inf}, "gain_db is inf"),
        ({"time_span": 0}, "time_span is 0, expected 1 or more"),
        ({"variants": -1}, "variants is -1, expected 0 or more"),
        ({"join_clips": 0}, "join_clips is 0, expected 1 or more"),
        ({"margin": -0.1}, "margin is -0.1, expected 0.0 to 2.0"),
        ({"margin": math.nan}, "margin is nan"),
        ({"conditions": 1.5}, "conditions is 1.5, expected 0.0 to 1.0"),
        ({"conditions": 0.5, "variants": 1}, "conditions needs copies, and variants is 1: expected 0, or 2 or more"),
        ({"margin": 0.5, "variants": 1}, "margin needs copies, and variants is 1"),
        ({"families": ()}, r"families is \[\], expected some of room, babble"),
        ({"families": ("room", "room")}, r"families is \['room', 'room'\], .*each once"),
    ],
)
def test_an_augmentation_out_of_its_range_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AugmentConfig(**values)


def test_all_faults_are_told_at_once_by_their_paths() -> None:
    with pytest.raises(ConfigError, match="seed is 'x'") as caught:
        from_dict(TrainConfig, {"seed": "x", "epoch": 3, "augment": {"join": 2.0, "time_span": 0}})
    assert [fault.split(" ", 2)[:2] for fault in caught.value.faults] == [
        ["unknown", "key"],
        ["seed", "is"],
        ["augment.time_span", "is"],
        ["augment.join", "is"],
    ]
