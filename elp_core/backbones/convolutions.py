"""A backbone's convolutions, faster than those of transformers and PyTorch with the same results.

`convolve` is the CNN of layer-norm backbones with channels last. `convolve_frames` is the convolution over positions
(wav2vec 2.0, HuBERT, WavLM, UniSpeech-SAT) on the CPU, by Fourier transform.
"""

import weakref
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from elp_core.private_names import change_count, has_hooks

SHORTEST = 64
"""Shortest kernel for which the transforms are worth their cost."""

_spectra: weakref.WeakKeyDictionary[nn.Module, tuple[object, torch.Tensor]] = weakref.WeakKeyDictionary()


def convolve(cnn: nn.Module, waveforms: torch.Tensor) -> torch.Tensor:
    """Return features [B, F, C] of waveforms float32 [B, T], by a feature encoder whose every layer has a layer norm.

    Wins 2.5 x transformers' speed (`benchmarks/bench_kernels.py`): its layers transpose to channels-last for the norm
    and back for the next convolution; with channels last throughout, the same arithmetic needs no copies.
    """
    layers: Any = cnn.conv_layers
    # under autocast too: bfloat16 would round a waveform to noise 48 dB below its peaks
    with torch.autocast(waveforms.device.type, enabled=False):
        hidden = _layer(layers[0], waveforms[:, None, None, :])
    for layer in layers[1:]:
        hidden = _layer(layer, hidden.permute(0, 3, 1, 2))
    return hidden[:, 0]


def _layer(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Apply one convolution, norm and activation: [B, C, 1, T] to [B, 1, F, C']."""
    # as a picture of height 1: PyTorch has no channels-last format for three dimensions
    weight = layer.conv.weight.unsqueeze(2).to(memory_format=torch.channels_last)
    hidden = hidden.to(memory_format=torch.channels_last)
    hidden = F.conv2d(hidden, weight, layer.conv.bias, stride=(1, layer.conv.stride[0]))
    result: torch.Tensor = layer.activation(layer.layer_norm(hidden.permute(0, 2, 3, 1)))
    return result


def suits(conv: nn.Conv1d, hidden: torch.Tensor) -> bool:
    """Return whether `convolve_frames` can convolve `hidden` [B, F, D]: a long frozen kernel, float32, on the CPU."""
    return (
        hidden.device.type == "cpu"
        and hidden.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        # the transform reads the kernel and never calls the module, so its hooks would not run
        and not has_hooks(conv)
        and conv.kernel_size[0] >= SHORTEST
        and conv.stride == conv.dilation == (1,)
        and conv.padding == (conv.kernel_size[0] // 2,)
        # a kernel that learns would need a new spectrum in every step
        and not any(parameter.requires_grad for parameter in conv.parameters())
    )


def convolve_frames(conv: nn.Conv1d, hidden: torch.Tensor) -> torch.Tensor:
    """Convolve [B, F, D] along its frames; the extra last frame of an even kernel is left out.

    Wins 4.5 x PyTorch's speed (`benchmarks/bench_kernels.py`). The kernels are long, 128 frames by default. A direct
    convolution multiplies each frame with the whole kernel; over blocks of twice the kernel's length a transform needs
    a thirtieth of the products, and the spectrum of a frozen kernel is computed once.
    """
    mixed: torch.Tensor = SpectralConvolution.apply(hidden, spectrum(conv), conv.kernel_size[0])  # type: ignore[no-untyped-call]
    return mixed if conv.bias is None else mixed + conv.bias


def spectrum(conv: nn.Conv1d) -> torch.Tensor:
    """Return the kernel's transform over twice its length, complex [frequencies, groups, in, out].

    It is kept until `conv` is changed or deleted. For WavLM base it takes 36 MiB, the kernel itself 18.
    """
    # an in-place change raises the counter; a tensor that is put in its place has another address
    stamp = tuple((parameter.data_ptr(), change_count(parameter)) for parameter in conv.parameters())
    known = _spectra.get(conv)
    if known is not None and known[0] == stamp:
        return known[1]
    with torch.inference_mode(False), torch.no_grad():  # training may read what serving computed
        kernel = conv.weight.view(conv.groups, -1, *conv.weight.shape[1:])  # [groups, out, in, K]
        found: torch.Tensor = torch.fft.rfft(kernel, 2 * conv.kernel_size[0])
        # a layer correlates: the conjugate reverses the kernel
        found = found.conj().permute(3, 0, 2, 1).resolve_conj().contiguous()
    _spectra[conv] = (stamp, found)
    return found


class SpectralConvolution(torch.autograd.Function):
    """Correlation of frames with a kernel of `width` frames, given by its spectrum; the kernel gets no gradient."""

    @staticmethod
    def forward(ctx: Any, frames: torch.Tensor, spectrum: torch.Tensor, width: int) -> torch.Tensor:
        """Map [B, F, D] to [B, F, D]; there are zeros before the first and after the last frame."""
        ctx.save_for_backward(spectrum)
        ctx.width = width
        return _filter(frames, spectrum, width, width // 2, back=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Return the gradient of the frames [B, F, D]: that of the output, convolved with the same kernel."""
        width = ctx.width
        return _filter(gradient, ctx.saved_tensors[0], width, width - 1 - width // 2, back=True), None, None


def _filter(frames: torch.Tensor, spectrum: torch.Tensor, width: int, before: int, back: bool) -> torch.Tensor:
    """Filter [B, F, D] by overlap-save, after `before` zeros; `back` convolves, from outputs to inputs."""
    # each block of 2 * width frames gives width + 1 results that do not wrap around
    batch, count, channels = frames.shape
    fresh = width + 1
    blocks = -(-count // fresh)
    padded = F.pad(frames, (0, 0, before, blocks * fresh + width - 1 - before - count))
    found = torch.fft.rfft(padded.unfold(1, 2 * width, fresh))  # [B, blocks, D, frequencies]
    found = found.reshape(batch * blocks, spectrum.shape[1], -1, found.shape[-1]).permute(3, 1, 0, 2)
    if back:
        # by the conjugate spectrum: the conjugate of the smaller factor, twice, is the cheaper one
        mixed = torch.matmul(found.conj().resolve_conj(), spectrum.transpose(2, 3)).conj().resolve_conj()
    else:
        mixed = torch.matmul(found, spectrum)
    whole: torch.Tensor = torch.fft.irfft(mixed.permute(2, 1, 3, 0).reshape(batch, blocks, channels, -1), 2 * width)
    # a convolution's first results wrap around, a correlation's last
    whole = whole[..., width - 1 :] if back else whole[..., :fresh]
    return whole.transpose(2, 3).reshape(batch, blocks * fresh, channels)[:, :count]
