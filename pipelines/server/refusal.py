"""Refusals: the guard answers HTTP 403 with a sentence, and the ledger gets an entry."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED


@dataclass(frozen=True)
class Attempt:
    """What a caller tries to do. The ledger names it if it is refused."""

    what: str
    """A few words: ``promote``, ``delete a version`` …"""
    model: str = ""
    """Registered model, if the attempt concerns one."""
    version: int | None = None

    def refused(self, sentence: str) -> Refusal:
        """Return the refusal of this attempt; the sentence says what is refused, why, and the next command."""
        return Refusal(sentence, self)


class Refusal(MlflowException):  # type: ignore[misc]
    """A request that the guard does not allow; MLflow answers it with HTTP 403 and the sentence."""

    def __init__(self, sentence: str, attempt: Attempt) -> None:
        super().__init__(sentence, error_code=PERMISSION_DENIED)
        self.attempt = attempt
        self.recorded = False
        """Whether the ledger has an entry for it."""
