"""The one door to torchaudio: `from elp_core._torchaudio import functional, transforms`.

torchaudio 2.11 loads a compiled extension when it is first imported, and that extension does not load beside every
build of torch. What we use of it (resampling, MFCC, masking) is plain torch and needs none of it, so where the
extension is broken a stand-in without compiled operators takes its place before the import.
"""

from __future__ import annotations

import sys
import types
from typing import Any


def _without_extension() -> types.ModuleType:
    """A module with the names that torchaudio takes from its extension, all of them saying "not available"."""

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


def _import() -> Any:
    try:
        import torchaudio
    except (OSError, ImportError, RuntimeError):
        for name in [name for name in sys.modules if name == "torchaudio" or name.startswith("torchaudio.")]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _without_extension()
        import torchaudio
    return torchaudio


torchaudio: Any = _import()
functional: Any = torchaudio.functional
transforms: Any = torchaudio.transforms
