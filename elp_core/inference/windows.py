"""Windows over a recording, which overlap, and which of their frames are kept.

As in Hugging Face's chunking of CTC: the frames near a window's ends lack context, so they are dropped, and the rest of
the windows is joined. Windows begin on whole frames here, so the frames that are kept are those of the whole recording:
none is missing, none occurs twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch

from elp_core._ranges import Checked, within
from elp_core.audio import Waveform
from elp_core.backbones import Backbone
from elp_core.types import SAMPLE_RATE, Samples, Seconds


@dataclass(frozen=True)
class WindowConfig(Checked):
    """Length and overlap of windows, in seconds."""

    title: ClassVar[str] = "windows"
    seconds: float = within(30.0, 1)
    """Length of a window; attention costs its square."""
    stride: float = within(4.0, 0)
    """Context at each end of a window, whose frames are dropped."""

    def other_faults(self) -> list[str]:
        """Return the fault of strides that leave nothing of a window."""
        return (
            [] if 3 * self.stride <= self.seconds else ["stride is over a third of seconds, expected at most a third"]
        )


@dataclass(frozen=True)
class FrameTimes:
    """Which samples a backbone's frames are made of."""

    hop: Samples
    """From the start of a frame to the start of the next one."""
    receptive: Samples
    """Samples that one frame is made of."""

    @classmethod
    def of(cls, backbone: Backbone) -> Self:
        """Return the frame times of a backbone, from its own count of frames."""
        shortest = backbone.min_samples
        # the hop is what the shortest clip has to grow by to have a second frame; no CNN of speech steps over a second
        counts = backbone.frame_counts(torch.arange(shortest, shortest + SAMPLE_RATE + 1))
        return cls(int((counts < 2).sum()), shortest)

    def count(self, samples: Samples) -> int:
        """Return the frames of a clip of `samples`."""
        return 0 if samples < self.receptive else (samples - self.receptive) // self.hop + 1

    def samples(self, frames: int) -> Samples:
        """Return the samples of the shortest clip that has `frames`."""
        return (frames - 1) * self.hop + self.receptive

    def start(self, frame: float) -> Seconds:
        """Return the time at which a frame begins: a frame stands for one hop around the middle of its samples.

        A fraction is a place between two frames.
        """
        return max(0.0, (frame * self.hop + (self.receptive - self.hop) / 2) / SAMPLE_RATE)


@dataclass(frozen=True, eq=False)
class Window:
    """One window over a run of samples."""

    samples: Waveform
    """float32 [samples]."""
    first: int
    """Frame of the run that the first kept frame is."""
    keep: slice
    """Frames of the window that are kept."""
    ends: bool
    """Whether it is the last window of its run."""


def cut_windows(blocks: Iterable[Waveform], times: FrameTimes, config: WindowConfig) -> Iterator[Window]:
    """Yield the windows over a run of samples, given as blocks float32 [samples]; nothing for a run without a frame.

    Law: the kept frames of all windows are the frames of the run, in order and each once. A run that is no longer than
    a window has one window, which is the run.
    """
    size = max(3, times.count(round(config.seconds * SAMPLE_RATE)))
    # at least one frame of a window is kept
    stride = min(round(config.stride * SAMPLE_RATE / times.hop), (size - 1) // 2)
    held, start = np.zeros(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        while times.count(len(held)) > size:
            before = stride if start else 0
            samples = held[: times.samples(size)]
            yield Window(samples.copy(), start + before, slice(before, size - stride), ends=False)
            # the next window's first kept frame follows the last kept one of this window
            start += size - 2 * stride
            held = held[(size - 2 * stride) * times.hop :]
    left = times.count(len(held))
    if left:
        before = stride if start else 0
        yield Window(held, start + before, slice(before, left), ends=True)
