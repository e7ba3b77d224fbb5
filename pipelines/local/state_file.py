"""Read back a file that this program wrote: one sentence has the file, the fault and the next step if it is damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from elp_core.errors import ConfigError, ElpError
from pipelines.errors import StateDamaged, WorkspaceError


@contextlib.contextmanager
def read_back(path: Path, repair: str) -> Iterator[None]:
    """Raise StateDamaged if the block cannot use the content of a file; `repair` is the next step.

    A file that is missing stays a FileNotFoundError; one that may not be read is a WorkspaceError.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be read ({error.strerror or error}); look at its owner, its mode and the disk"
        ) from error
    except (ElpError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise StateDamaged(f"{path} is damaged ({_fault(path, error)}); {repair}") from error


def _fault(path: Path, error: Exception) -> str:
    if not path.stat().st_size:
        return "it is empty"
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    if isinstance(error, ConfigError):
        return "; ".join(error.faults)
    return str(error) or type(error).__name__
