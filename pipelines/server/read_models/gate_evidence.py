"""The scores behind a verdict, from the evidence among the artifacts of its run; the verdict signs the file's hash."""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from elp_core.errors import ElpError
from pipelines.errors import RegistryError
from pipelines.registry.evidence_scores import Scores, unpack_scores
from pipelines.registry.plain_json import shape_fault
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.server.mlflow_private import served_artifacts
from pipelines.server.storage.artifact_bytes import run_location, served_path


@dataclass(frozen=True)
class GoldenScores:
    """The scores of both systems of a verdict on the clips or trials of the golden set."""

    challenger: Scores
    champion: Scores | None
    """None for a first version."""
    challenger_threshold: float | None
    """Of the bundle, if the task decides by a threshold and the gate recorded it."""
    champion_threshold: float | None


def read_golden_scores(run_id: str, verdict: VerdictStatement) -> GoldenScores:
    """Read the evidence of a verdict on a version that this run trained.

    Raise RegistryError if it cannot be read, or does not have the signed hash.
    """
    with tempfile.TemporaryDirectory(prefix="elp-console-") as scratch:
        try:
            location = f"{run_location(run_id)}/{verdict.evidence.path}"
            path = served_path(location)
            if path is None:
                raise OSError(f"it is at {location}, outside the artifact store of this server")
            content = Path(served_artifacts().download_artifacts(path, scratch)).read_bytes()
            if sha256(content) != verdict.evidence.sha256:
                raise RegistryError("the evidence in the artifact store is not the one that was signed")
            return _parse(json.loads(content))
        except RegistryError:
            raise
        except (TypeError, AttributeError) as error:
            raise RegistryError(f"the evidence cannot be read: {shape_fault(error)}") from error
        except (ElpError, OSError, MlflowException, ValueError, LookupError) as error:
            raise RegistryError(f"the evidence cannot be read: {error}") from error


def _parse(values: Mapping[str, Any]) -> GoldenScores:
    champion = values.get("champion")
    measured = (values.get("verdict") or {}).get("measured") or {}
    thresholds = (_number(measured.get(f"{name}_threshold")) for name in ("challenger", "champion"))
    return GoldenScores(unpack_scores(values["challenger"]), unpack_scores(champion) if champion else None, *thresholds)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
