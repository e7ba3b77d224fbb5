"""Import large libraries in less time."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Pause the garbage collector while the block imports libraries, and leave what they made out of its later work.

    Imports make millions of objects that stay. Looking for garbage among them is a quarter of the time of importing
    Prefect, torch, transformers and MLflow.
    """
    # the outer of two blocks decides
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
