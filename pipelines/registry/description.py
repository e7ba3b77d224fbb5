"""A version in words: its tags, and the description that people read in the MLflow UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.registry.lineage import Lineage
from pipelines.registry.tags import Tags

_FLAG = "🔴 **Override, no verdict that counts:**"
_LINEAGE = (
    ("dataset", Tags.DATASET),
    ("Git revision of the data", Tags.REVISION),
    ("DVC hash", Tags.DVC_HASH),
    ("golden set", Tags.GOLDEN),
    ("backbone", Tags.BACKBONE),
    ("fingerprint", Tags.FINGERPRINT),
    ("bundle", Tags.BUNDLE),
    ("training key", Tags.KEY),
    ("code", Tags.CODE),
    ("seed", Tags.SEED),
    ("Prefect flow run", Tags.FLOW_RUN),
)


def version_tags(lineage: Lineage, bundle_digest: str, metric: str, value: float) -> dict[str, str]:
    """The tags of a freshly registered version, from its lineage and its validation metric.

    What claims a decision (verdict, status, golden set) is not among them: the server writes it from signed statements.
    """
    return {
        Tags.METRIC: metric,
        Tags.VALUE: f"{value:.4f}",
        Tags.DATASET: lineage.dataset.tag,
        Tags.SEED: str(lineage.seed),
        Tags.DIRTY: {True: "yes", False: "no", None: "unknown"}[lineage.code.dirty],
        Tags.BACKBONE: lineage.backbone.id,
        Tags.FLOW_RUN: lineage.flow_run,
        Tags.CODE: lineage.code.revision or lineage.code.digest,
        Tags.REVISION: lineage.dataset.revision,
        Tags.DVC_HASH: lineage.dataset.dvc_hash,
        Tags.KEY: lineage.key,
        Tags.BUNDLE: bundle_digest,
        Tags.FINGERPRINT: lineage.backbone.fingerprint,
    }


def describe_version(headline: str, rows: Sequence[tuple[str, str]], tags: Mapping[str, str]) -> str:
    """Markdown for the UI: a plain sentence, the verdict and the metrics as a table, the lineage below.

    Args:
        headline: One plain sentence; the list of versions shows it raw.
        rows: Name and value, verdict first.
        tags: The version's tags; the lineage is taken from them.

    Raises:
        ValueError: where the headline would show as markup.
    """
    if headline.startswith(("#", "|", "-", "*")):
        raise ValueError(f"the description would begin with markup: {headline[:40]!r}")
    lineage = [(name, f"`{tags[tag]}`") for name, tag in _LINEAGE if tags.get(tag)]
    if tags.get(Tags.DIRTY) == "yes":
        lineage.append(("uncommitted code", "yes: the code revision alone does not make it again"))
    return f"{headline}\n\n{_table('result', rows)}\n\n**Lineage**\n\n{_table('from', lineage)}\n"


def flagged(description: str, override: str) -> str:
    """The description with a red line before it that tells of an override, or without one where that is over.

    Args:
        description: As it was, with or without such a line.
        override: What is to be told, in one line; empty for nothing.
    """
    if description.startswith(_FLAG):
        description = description.partition("\n\n")[2]
    line = " ".join(override.split())
    return f"{_FLAG} {line}\n\n{description}" if line else description


def _table(head: str, rows: Sequence[tuple[str, str]]) -> str:
    lines = [f"| {head} | |", "|---|---|"]
    lines += [f"| {name} | {value.replace('|', '/')} |" for name, value in rows]
    return "\n".join(lines)
