"""The guard says no: an exception that MLflow turns into HTTP 403 with its sentence, and the ledger into an entry."""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED


class Refusal(MlflowException):  # type: ignore[misc]
    """A write that the guard does not allow."""

    def __init__(self, sentence: str, *, what: str, model: str = "", version: int | None = None) -> None:
        """Say no.

        Args:
            sentence: What, why, and the command to run next; the UI shows it.
            what: What was tried, in a few words.
            model: Registered model concerned.
            version: Version concerned.
        """
        super().__init__(sentence, error_code=PERMISSION_DENIED)
        self.what = what
        self.model = model
        self.version = version
        self.recorded = False
        """Whether the ledger has it."""
