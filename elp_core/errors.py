"""Every error this project raises on purpose, as one tree.

    ElpError                        exit code 1
    ├── ConfigError                 a configuration is wrong; lists every fault at once (exit code 2)
    ├── AudioError                  one clip cannot be used; `reason` is a short stable word
    ├── CorpusError                 a set of clips cannot be used (shards, splits, transcripts, trials)
    ├── BackboneError               a checkpoint cannot be loaded or is of no supported family
    │   └── FingerprintMismatch     a bundle belongs to another backbone
    ├── BundleError                 a bundle is incomplete, altered or malformed
    ├── HostError                   a host has no adapter of this name, or has one already
    ├── TrainingError               training cannot start or continue
    │   ├── NonFiniteLoss           the loss became NaN or infinite
    │   └── NoGradient              a trainable tensor got no gradient in the first step
    ├── CheckpointError             a training checkpoint cannot be written or resumed
    └── OpsError                    everything operational: see `pipelines.errors`

A message says what failed, the value, what is allowed, and the next step.
"""

from collections.abc import Mapping, Sequence
from typing import Any


class ElpError(Exception):
    """Root of the tree; the command line ends with `exit_code`. Errors can be pickled, to cross between processes."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception would call the class with the message, and some classes make the message of other arguments
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[ElpError], arguments: tuple[Any, ...], values: Mapping[str, Any]) -> ElpError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(values)
    return error


def first_faults(faults: Sequence[str], shown: int = 4) -> str:
    """Return the first faults and the number of the others, as one line of a message."""
    return "; ".join(faults[:shown]) + (f"; and {len(faults) - shown} more" if len(faults) > shown else "")


class ConfigError(ElpError):
    """One or more settings are wrong; `faults` holds one sentence for each."""

    exit_code = 2

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        found = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{where}: {found}", *(f"  - {fault}" for fault in faults)]))


class AudioError(ElpError):
    """A clip cannot be used. `reason` is a stable word such as ``corrupt``, ``empty`` or ``silent``."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class CorpusError(ElpError):
    """A set of clips is unusable for the task at hand."""


class BackboneError(ElpError):
    """A checkpoint cannot be loaded, or is of no supported family."""


class FingerprintMismatch(BackboneError):
    """An adapter was made for another backbone than the one that it is used with."""

    def __init__(self, expected: str, got: str) -> None:
        self.expected = expected
        self.got = got
        super().__init__(
            f"the adapter belongs to a backbone with fingerprint {expected}, this one has {got}; "
            "load the backbone that the bundle's lineage.json names"
        )


class BundleError(ElpError):
    """A bundle is incomplete, altered or malformed."""


class HostError(ElpError):
    """A host has no adapter of this name, has one already, or was given an adapter of another method than ELP."""


class TrainingError(ElpError):
    """Training cannot start or cannot continue."""


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite; `ids` are the clips of that batch."""

    def __init__(self, step: int, value: float, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        shown = ", ".join(self.ids[:4]) + (" …" if len(self.ids) > 4 else "")
        super().__init__(
            f"the loss is {value} at step {step} (clips {shown}); nothing was saved after the last checkpoint: "
            "lower the learning rates or look at these clips"
        )


class NoGradient(TrainingError):
    """Trainable tensors took no part in the first step; `names` are their names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(
            f"trainable tensors got no gradient in the first step: {', '.join(self.names)}; "
            "switch the part off in the adapter's configuration or freeze these tensors"
        )


class CheckpointError(ElpError):
    """A training checkpoint cannot be written or resumed."""


class OpsError(ElpError):
    """Root of the operational half of the tree; its branches are in `pipelines.errors`."""
