from __future__ import annotations

import numpy as np
import pytest
import torch

from elp_core.errors import ConfigError
from elp_core.inference.audio_blocks import fixed_blocks
from elp_core.inference.windows import FrameTimes, WindowConfig, cut_windows
from elp_core.testing import tiny_backbone

HOPS = {
    "20 ms": ([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]),
    "10 ms": ([10, 3, 3, 3, 3, 2], [5, 2, 2, 2, 2, 2]),
    "odd": ([11, 4, 3], [7, 3, 5]),
}


@pytest.mark.parametrize("kind", HOPS)
def test_frame_times_are_those_of_the_backbone(kind: str) -> None:
    kernel, stride = HOPS[kind]
    channels = [8] * len(kernel)
    backbone = tiny_backbone(conv_dim=channels, conv_kernel=kernel, conv_stride=stride)
    times = FrameTimes.of(backbone)
    assert times.hop == int(np.prod(stride))
    for samples in (times.receptive - 1, times.receptive, times.receptive + times.hop - 1, 16_000, 99_999):
        assert times.count(samples) == max(0, int(backbone.frame_counts(torch.tensor(samples))))
    assert times.count(times.samples(77)) == 77
    assert times.count(times.samples(77) - 1) == 76


@pytest.mark.parametrize("seconds", [0.01, 0.03, 2.0, 5.9999, 6.0, 6.01, 6.04, 10.0, 60.0, 61.23])
@pytest.mark.parametrize("stride", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("block", [0.013, 1.0, 30.0])
def test_kept_frames_are_the_frames_of_the_run_each_once(seconds: float, stride: float, block: float) -> None:
    if block < 0.1 and seconds > 20:
        block = 0.31
    times, config = FrameTimes(320, 400), WindowConfig(seconds=6.0, stride=stride)
    samples = np.arange(round(seconds * 16_000), dtype=np.float32)
    kept: list[int] = []
    ends = []
    for window in cut_windows(fixed_blocks(samples, block), times, config):
        start = int(window.samples[0])
        assert start % times.hop == 0
        np.testing.assert_array_equal(window.samples, samples[start : start + len(window.samples)])
        assert len(window.samples) <= 6.0 * 16_000 + times.hop
        frames = range(start // times.hop, start // times.hop + times.count(len(window.samples)))
        assert frames[window.keep][0] == window.first
        kept += frames[window.keep]
        ends.append(window.ends)
    assert kept == list(range(times.count(len(samples))))
    assert ends == [False] * (len(ends) - 1) + [True] * bool(ends)


def test_a_run_as_long_as_a_window_is_one_window() -> None:
    samples = np.ones(6 * 16_000, np.float32)
    found = list(cut_windows([samples], FrameTimes(320, 400), WindowConfig(seconds=6.0, stride=2.0)))
    assert [(len(one.samples), one.keep, one.ends) for one in found] == [(96_000, slice(0, 299), True)]


def test_strides_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="stride is over a third of seconds"):
        WindowConfig(seconds=6.0, stride=2.1)
