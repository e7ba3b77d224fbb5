"""The private names of torch, torchaudio and accelerate that this package uses, all of them in this file.

A minor release may change each of them. `CHECKED` lists the releases with which this package's tests passed; a newer
release is checked by `tests/elp_core/test_private_names.py`.
"""

import copy
import functools
import importlib
import sys
import types
from typing import Any, TypeVar

import torch
from torch import nn

CHECKED = {
    "torch": ("2.9.1", "2.13.0", "2.14.1"),
    "torchaudio": ("2.9.1", "2.11.0"),
    "transformers": ("5.0.0", "5.23.0", "5.24.0"),
    "accelerate": ("1.15.0",),
}
"""transformers is here for the names of its models' submodules, which it does not promise to keep either."""

M = TypeVar("M", bound=nn.Module)


def has_hooks(module: nn.Module) -> bool:
    """Return whether calls of `module` run hooks. torch: ``_forward_hooks`` and its like."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def shallow_copy(module: M) -> M:
    """Return the same submodules in a container of its own. torch: ``Module._modules``."""
    shell = copy.copy(module)
    # copy.copy shares this dictionary with the original
    shell._modules = dict(module._modules)
    return shell


def change_count(tensor: torch.Tensor) -> int:
    """Return the number of in-place changes of a tensor [any shape]. torch: ``Tensor._version``."""
    return tensor._version


def cpu_flash_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention [B, H, F, D] under an additive mask [B, H, F, F], and each row's log normaliser [B, H, F].

    torch: ``aten._scaled_dot_product_flash_attention_for_cpu``; the public function does not return the normaliser.
    """
    mixed, normaliser = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, attn_mask=mask)
    return mixed, normaliser


def forget_precision() -> None:
    """Let the next `Accelerator` of this process choose its own precision. accelerate: ``_reset_state``."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


def import_after_torchaudio(name: str) -> Any:
    """Import a module that imports torchaudio itself, such as those of transformers and peft."""
    torchaudio()
    return importlib.import_module(name)


@functools.cache
def torchaudio() -> Any:
    """Import torchaudio, without its compiled extension if that does not load. torchaudio: ``_extension``.

    What we use of torchaudio (resampling, MFCC) is plain torch, so a stand-in replaces a broken extension.
    """
    try:
        return importlib.import_module("torchaudio")
    except (OSError, ImportError, RuntimeError):  # that of torchaudio 2.11 does not load with every build of torch
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            # a failed import leaves its submodules, and the next import would use them
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _without_extension()
        return importlib.import_module("torchaudio")


def _without_extension() -> types.ModuleType:
    def unavailable(function: Any) -> Any:
        def refuse(*_: Any, **__: Any) -> Any:
            raise RuntimeError(f"torchaudio's {function.__name__} needs its compiled extension, which did not load")

        return refuse

    module = types.ModuleType("torchaudio._extension")
    vars(module).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        fail_if_no_align=unavailable,
    )
    return module
