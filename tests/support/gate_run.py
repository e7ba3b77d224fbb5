"""Judge a version by an engine, each batch a task: `python -m tests.support.gate_run VALUES` with JSON of `GateRun`."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.gating import divided_evaluation, measure
from pipelines.gating.evidence import EVIDENCE_FILE
from pipelines.gating.gate import gate_version
from pipelines.local.compute_settings import FanOut
from pipelines.local.settings import read_settings
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.slot import Slot
from pipelines.registry.verdict import Speed


@dataclass(frozen=True)
class GateRun:
    """What is judged, and by what: ``serial``, ``processes``, ``dask`` or ``ray``."""

    engine: str
    address: str
    repository: str
    slot: str
    mlflow_uri: str
    cache: str
    settings: str

    def to_json(self) -> str:
        """Return the argument of the program."""
        return json.dumps(asdict(self))


def run(values: GateRun) -> dict[str, Any]:
    """Return digests of the evidence and of the verdict of a dry run, and how many chunks were sent."""
    chunks: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(divided_evaluation, "LARGE", 0.0)
        patch.setattr(divided_evaluation, "CHUNK_SECONDS", 0.0)
        # the one measurement that differs from run to run
        patch.setattr(measure, "measure_speed", lambda *_: Speed(1.0, 1.0, 1.0, "cpu"))
        plain = divided_evaluation._chunks
        patch.setattr(divided_evaluation, "_chunks", lambda *given: [chunks.append(len(c)) or c for c in plain(*given)])
        engine = None
        if values.engine in ("dask", "ray"):
            from pipelines.orchestration import engines

            # the bundles cross once, as large ones do
            patch.setattr(engines, "SHARED_FROM", 1)
            engine = engines.chunk_map_of(FanOut(values.engine, values.address), print)
        done = gate_version(
            values.repository,
            Slot.parse(values.slot),
            read_settings(values.settings),
            dry_run=True,
            mlflow_uri=values.mlflow_uri,
            cache=Path(values.cache),
            log=lambda line: None,
            chunk_map=engine,
        )
    verdict = json.dumps(done.verdict.to_json(), sort_keys=True).encode()
    content = (done.evidence / EVIDENCE_FILE).read_bytes()
    return {"evidence": sha256(content), "verdict": hashlib.sha256(verdict).hexdigest(), "chunks": len(chunks)}


if __name__ == "__main__":
    print(json.dumps(run(GateRun(**json.loads(sys.argv[1])))))
