"""The folder of a verdict's evidence, written.

<folder>/
├── evidence.json      verdict with policy and measurements, scores of both systems by clip or trial, context
├── report.html        the same for people, self-contained
└── *.png              the report's plots
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.gating.compare import Scores
from pipelines.gating.evidence import EVIDENCE_FILE, FORMAT, Evidence
from pipelines.gating.pack import pack
from pipelines.gating.plots import draw
from pipelines.gating.report import render
from pipelines.registry.verdict import Verdict

REPORT_FILE = "report.html"


def write_evidence(
    folder: Path, verdict: Verdict, challenger: Scores, champion: Scores | None, context: Mapping[str, Any]
) -> Path:
    """Write the evidence of a verdict, whole or not at all; what lay in `folder` before is replaced.

    Returns:
        `folder`.
    """
    evidence = Evidence(verdict, challenger, champion, dict(context))
    plots = draw(evidence)
    values = {
        "format": FORMAT,
        "verdict": verdict.to_json(),
        "challenger": pack(challenger),
        "champion": pack(champion) if champion else None,
        "context": dict(context),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for plot in plots:
            (scratch / plot.file).write_bytes(plot.png)
        (scratch / REPORT_FILE).write_text(render(evidence, plots), encoding="utf-8")
        (scratch / EVIDENCE_FILE).write_text(json.dumps(values, sort_keys=True) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return folder
