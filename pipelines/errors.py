"""The operational half of the error tree (its root is `elp_core.errors.ElpError`).

OpsError                    exit code 1
├── UsageError              a name or an option is wrong (exit code 2)
├── WorkspaceError          not a workspace, a dirty tree, no Git identity
│   ├── DiskFull            a disk has no space left: a flow run waits for it
│   └── StateDamaged        a file that elp wrote is damaged; the message names it, and what to do
├── IntakeError             a source cannot be read as the format it claims to be
├── DataRefused             the data as a whole failed its checks: no version was made
├── NotTrainable            a dataset version cannot be trained on: no training was started
├── NotAParent              the version that `train.init` names cannot be started from
├── VersioningError         DVC or Git could not store, find or fetch a dataset version
│   ├── PushRejected        another machine has pushed to the Git repository first
│   └── SlotChangedElsewhere    another machine has changed the same slot's data first
├── ServiceError            a server or a worker is not up, or its port is taken
│   ├── LoginRefused        a server with a login takes no request without an account, or not with this one
│   └── RemoteAway          a server or a store does not answer at the moment: a flow run waits for it
│       └── DataRemoteAway  the DVC remote; a VersioningError, too
├── WrongRelease            a worker has another release of elp than a flow run asks for
├── RequestRefused          `elp serve` does not answer a request; has the HTTP status
├── RunCancelled            a flow run that is trained with others was cancelled
├── StudyStopped            a session of `elp tune` was stopped before its work was done
├── RegistryError           the model registry does not hold what was asked for
├── DeliveryRefused         what a server or a medium offers a box is not to be trusted; nothing changed there
├── AttestationError        a key, a signed statement or the ledger is missing, malformed or not to be trusted
│   └── WorkerEnded         the server has ended this worker, or has another release; another one does its run
└── GateRefused             the gate did not pass the adapter (exit code 3)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from elp_core.errors import OpsError
from pipelines.number_text import count


class UsageError(OpsError):
    """The command was used wrongly: a bad slot name, an unknown option value."""

    exit_code = 2


class WorkspaceError(OpsError):
    """The workspace cannot be used as it stands."""


class DiskFull(WorkspaceError):
    """A disk has no space left. A flow run with this error continues when there is space again."""


class StateDamaged(WorkspaceError):
    """A file that elp wrote and reads back is damaged; the message has the file, the fault and the next step."""


class IntakeError(OpsError):
    """A source of audio cannot be read; `faults` lists every broken line or file found."""

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        self.faults = tuple(faults)
        shown = "".join(f"\n  - {fault}" for fault in self.faults[:20])
        more = f"\n  … and {len(self.faults) - 20} more" if len(self.faults) > 20 else ""
        super().__init__(message + shown + more)

    @classmethod
    def of_faults(cls, source: Path, faults: Sequence[str], number: int | None = None) -> Self:
        """Return the error of a source with faults; `number` counts them if a sentence stands for several."""
        found = count(len(faults) if number is None else number, "fault")
        return cls(f"{source} has {found}; correct it and try again, nothing changed", faults)


class DataRefused(OpsError):
    """A delivery or another change failed the checks of the whole set; the message lists them, no version was made.

    `step` names what was refused.
    """

    def __init__(self, slot: str, faults: Sequence[str], step: str = "the delivery") -> None:
        self.faults = tuple(faults)
        lines = "".join(f"\n  - {fault}" for fault in faults)
        super().__init__(f"{slot}: {step} was refused, no dataset version was made{lines}")


class NotTrainable(OpsError):
    """A dataset version lacks what training or the gate needs; no training was started."""

    def __init__(self, tag: str, faults: Sequence[str]) -> None:
        lines = "".join(f"\n  - {fault}" for fault in faults)
        super().__init__(f"training was not started: {tag} is stored, but it cannot be trained on yet{lines}")


class NotAParent(OpsError):
    """The version that `train.init` names cannot be started from; no training was started."""


class VersioningError(OpsError):
    """A dataset version could not be stored, found or fetched."""


class PushRejected(VersioningError):
    """Another machine has pushed to the workspace's Git repository first."""


class SlotChangedElsewhere(VersioningError):
    """Another machine has changed the data of the same slot, or the same file, first; nothing was changed here."""


class WrongRelease(OpsError):
    """A flow run asks for another release than the one that is installed on the worker."""


class RunCancelled(OpsError):
    """A flow run that is trained in the process of another one was cancelled."""


class StudyStopped(OpsError):
    """A session of a study ends before its work is done; the next one tries again what it was training."""


class ServiceError(OpsError):
    """A server or worker this needs is not up, or cannot start."""


class LoginRefused(ServiceError):
    """A server with a login takes no request without an account, or not with this one."""


class RemoteAway(ServiceError):
    """A server or a store does not answer, or reports a fault of its own; waiting may help.

    Not for a refused login, a wrong address or another answer that stays the same.
    """


class DataRemoteAway(RemoteAway, VersioningError):
    """The DVC remote does not answer, so that no dataset version can be stored or fetched at the moment."""


class RegistryError(OpsError):
    """The model registry does not hold what was asked for, or refused a change."""


class RequestRefused(OpsError):
    """A request to `elp serve` cannot be answered: `status` is the HTTP status, `code` a stable word.

    `retry_after` is the number of seconds after which the client may try again; None if that would not help.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        self.status = status
        self.code = code
        self.retry_after = retry_after
        super().__init__(message)


class AttestationError(OpsError):
    """A key, a signed statement or the ledger is missing, malformed or not to be trusted.

    `reason` is a stable word: ``malformed``, ``no key``, ``key file``, ``unknown key``, ``wrong role``, ``retired``,
    ``revoked``, ``bad signature`` or ``mismatch``.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class WorkerEnded(AttestationError):
    """The server has ended the keys or the account of this worker, or has another release: others do its work."""


class DeliveryRefused(OpsError):
    """What a server or a medium offers a box is expired, incomplete or not to be trusted; the box keeps its set.

    `reason` is a stable word: ``expired``, ``rollback``, ``signature``, ``malformed``, ``incomplete``, ``too long``,
    ``altered``, ``other site``, ``statement``, ``override``, ``backbone`` or ``no root``.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class TemplateError(OpsError):
    """A template of an enrolled voice is malformed, altered, revoked or of another bundle than the one that is used.

    `reason` is a stable word: ``other bundle``, ``not enrolled``, or ``unusable`` for everything else.
    """

    def __init__(self, message: str, *, reason: str = "unusable") -> None:
        self.reason = reason
        super().__init__(message)


class GateRefused(OpsError):
    """The gate's verdict was not a pass; the evidence says why."""

    exit_code = 3
