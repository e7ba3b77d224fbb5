"""Import large libraries in less time."""

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator
from typing import Any, cast


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


def skip_grammar() -> None:
    """Let a library that imports jsonschema be imported without a grammar; to be called before the import."""
    # jsonschema compiles a grammar of internationalised addresses when it is imported: 0.9 s of CPU of the 1.7 s that
    # Prefect's import takes in every process, and as much of Great Expectations'. Without the package it skips that
    # check, which no schema of theirs has.
    if "jsonschema" not in sys.modules:
        sys.modules["rfc3987_syntax"] = cast(Any, None)
        importlib.import_module("jsonschema")
        del sys.modules["rfc3987_syntax"]
