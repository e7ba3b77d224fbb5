"""Results of `gpu.sh` as Markdown, ready for docs/reference/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

HEADS: dict[str, Sequence[str]] = {
    "correctness": ("check", "value", "at most", "held"),
    "resume": ("check", "value", "at most", "held"),
    "training-base": ("against", "its s", "our s", "its GiB", "our GiB", "ratio"),
    "training-large": ("against", "its s", "our s", "its GiB", "our GiB", "ratio"),
    "together": ("training", "median ms for a step of every slot", "x one pass"),
    "host": ("adapters", "requests in a call", "requests/s", "p50 ms", "p99 ms", "adapters' GB", "peak GB"),
    "serving": ("adapters", "clients at once", "requests/s", "p50 ms", "p95 ms", "target held"),
    "profile": ("of", "kernel", "calls", "ms", "share"),
}


def markdown(results: dict[str, Any]) -> str:
    """Return one table for each part, and what stopped a part before its end."""
    machine = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    lines = ["# `benchmarks/gpu.sh`", "", machine]
    for name, part in results["parts"].items():
        lines += ["", f"## {name}: {part['status']}, {part['seconds']} s", ""]
        lines += [record["note"] for record in part["records"] if "note" in record]
        rows = [record["cells"] for record in part["records"] if "cells" in record]
        if rows:
            lines += ["", *table(HEADS[name], rows)]
        if part["error"]:
            lines += ["", "```", part["error"].strip(), "```"]
    return "\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
