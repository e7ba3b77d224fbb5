"""Every error this project raises on purpose, as one tree.

    ElpError                        exit code 1
    ├── ConfigError                 a configuration is wrong; lists every fault at once (exit code 2)
    ├── AudioError                  one clip cannot be used; `reason` is a short stable word
    ├── CorpusError                 a set of clips cannot be used (shards, splits, transcripts, trials)
    ├── BackboneError               a checkpoint cannot be loaded or is of no supported family
    │   └── FingerprintMismatch     a bundle belongs to another backbone
    ├── BundleError                 a bundle is incomplete, altered or malformed
    ├── HostError                   a host serves no adapter of this name, or one already
    ├── TrainingError               training cannot start or go on
    │   ├── NonFiniteLoss           the loss became NaN or infinite
    │   └── NoGradient              a trainable tensor got no gradient in the first step
    ├── CheckpointError             a training checkpoint cannot be written or resumed
    └── OpsError                    everything operational: see `pipelines.errors`

A message says what happened, what was got, what was expected, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence


class ElpError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with."""

    exit_code = 1


class ConfigError(ElpError):
    """One or more settings are wrong; `faults` holds one sentence for each."""

    exit_code = 2

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.where = where
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"{where}: {len(self.faults)} fault(s)\n{lines}")


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
    """An adapter was made on another backbone than the one it is used on."""

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
    """An adapter host serves no adapter of a name, serves one already, or was given what is no ELP adapter."""


class TrainingError(ElpError):
    """Training cannot start or cannot go on."""


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite at `step`; `ids` are the clips of that batch."""

    def __init__(self, step: int, value: float, ids: Sequence[str]) -> None:
        self.step = step
        self.value = value
        self.ids = tuple(ids)
        shown = ", ".join(self.ids[:4]) + (" …" if len(self.ids) > 4 else "")
        super().__init__(
            f"the loss is {value} at step {step} (clips {shown}); nothing was saved after the last checkpoint: "
            "lower the learning rates or look at these clips"
        )


class NoGradient(TrainingError):
    """Trainable tensors took no part in the first step; `names` are theirs."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(
            "trainable tensors got no gradient in the first step: "
            + ", ".join(self.names)
            + "; switch the part off in the adapter's configuration or freeze these tensors"
        )


class CheckpointError(ElpError):
    """A training checkpoint cannot be written or resumed."""


class OpsError(ElpError):
    """Root of the operational half of the tree; its branches are in `pipelines.errors`."""
