"""Log mel energies of waveforms, the input of w2v-BERT 2.0, as `SeamlessM4TFeatureExtractor` of transformers has them.

Kaldi's filter bank: frames of 25 ms every 10 ms without their mean, pre-emphasis, the Povey window, the power spectrum,
triangular filters on the mel scale, the logarithm. Each bin is then scaled to zero mean and unit variance over the
clip's own frames, and two neighbouring frames become one. An odd frame at the end counts in mean and variance, and is
left out after that, as in transformers (its attention mask hides the frame that is made of it and of padding).

transformers works clip by clip in NumPy. This is a batch on the waveforms' device. Spectra are in float64 and energies
and their means in float32, as there: the logarithm magnifies the rounding of a quiet bin next to a loud one, and the
scaling that of a short clip, whose frames are alike. Sums are in float64, so that they do not depend on a batch. Those
of transformers are in float32: for a clip of a minute its means are off by 1e-5.
"""

import math

import torch
from torch import nn

from elp_core.backbones.frames import FrameLaw, blank, real_frames
from elp_core.types import SAMPLE_RATE

STACKED = 2
"""Mel frames in one frame of the backbone."""
_LENGTH, _HOP, _TRANSFORM = 400, 160, 512
MEL_LAW = FrameLaw((_LENGTH, STACKED), (_HOP, STACKED))
"""Frames of a clip: one for each full pair of its mel frames."""
_FULL_SCALE = 2.0**15
"""Kaldi reads samples as 16-bit integers."""
_EMPHASIS = 0.97
_FLOOR = 1.192092955078125e-07
_LOWEST_HERTZ = 20.0
_LEAST_VARIANCE = 1e-7


class MelFeatures(nn.Module):
    """Waveforms float32 [B, T] to stacked log mel energies [B, F, 2 M] of M bins; nothing in it learns."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        # not in a state: they follow from the number of bins
        self.register_buffer("window", _povey_window(), persistent=False)
        self.register_buffer("filters", mel_filters(bins), persistent=False)

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the energies, zero after each clip's own frames, for clips of `lengths` [B] samples with a frame."""
        counts = torch.div(lengths.to(waveforms.device) - _LENGTH, _HOP, rounding_mode="floor") + 1
        frames = int(counts.max())
        with torch.autocast(waveforms.device.type, enabled=False):
            energies = self._energies(waveforms[:, : (frames - 1) * _HOP + _LENGTH])
            real = (torch.arange(frames, device=waveforms.device) < counts.unsqueeze(1)).unsqueeze(2)
            count = counts[:, None, None]
            mean = ((energies.double() * real).sum(1, keepdim=True) / count).float()
            centred = (energies - mean) * real
            variance = centred.double().square().sum(1, keepdim=True) / (count - 1)
            scaled = centred / (variance + _LEAST_VARIANCE).sqrt().float()
        pairs = frames // STACKED
        stacked = scaled[:, : pairs * STACKED].reshape(len(scaled), pairs, -1)
        return blank(stacked, real_frames(counts // STACKED, pairs))

    def _energies(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Return float32 [B, mel frames, M] of [B, T]."""
        window, filters = self.get_buffer("window").double(), self.get_buffer("filters").double()
        cut = (_FULL_SCALE * waveforms.double()).unfold(1, _LENGTH, _HOP)
        cut = cut - cut.mean(2, keepdim=True)
        # the first sample is its own predecessor
        before = torch.cat([cut[..., :1], cut[..., :-1]], dim=2)
        spectrum = torch.fft.rfft((cut - _EMPHASIS * before) * window, _TRANSFORM)
        found: torch.Tensor = (spectrum.abs().square() @ filters).clamp(min=_FLOOR).log().float()
        return found


def mel_filters(bins: int) -> torch.Tensor:
    """Return Kaldi's triangles, float64 [frequencies, M]: equal widths in mel from 20 Hz to 8,000 Hz, and no gaps."""
    ends = [_mel(torch.tensor(hertz, dtype=torch.float64)) for hertz in (_LOWEST_HERTZ, SAMPLE_RATE / 2)]
    corners = torch.linspace(float(ends[0]), float(ends[1]), bins + 2, dtype=torch.float64)
    places = _mel(torch.arange(_TRANSFORM // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / _TRANSFORM).unsqueeze(1)
    widths = corners.diff()
    rising, falling = (places - corners[:-2]) / widths[:-1], (corners[2:] - places) / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0)


def _mel(hertz: torch.Tensor) -> torch.Tensor:
    return 1127.0 * (1.0 + hertz / 700.0).log()


def _povey_window() -> torch.Tensor:
    """Return the Hann window to the power of 0.85, float64 [samples]."""
    steps = torch.arange(_LENGTH, dtype=torch.float64) * (2.0 * math.pi / (_LENGTH - 1))
    return (0.5 - 0.5 * steps.cos()).clamp(min=0).pow(0.85)
