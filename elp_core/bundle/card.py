"""The model card: README.md of a bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from elp_core.languages import units_text
from elp_core.methods.config import method_to_dict

if TYPE_CHECKING:
    from elp_core.model import ElpModel

_TEMPLATE = """\
# ELP adapter{slot}

{method} with a head for {task}, for one frozen speech backbone. The backbone is not in this folder.

{facts}

## Metrics

{metrics}

## Use

```python
from pathlib import Path

from elp_core.audio import load
from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle
from elp_core.inference import predict

model = load_bundle(Path("this/folder"), Backbone.from_pretrained({backbone!r}))
print(predict(model, [load(Path("clip.wav"))]))
```

`lineage.json` says what it was made from, `manifest.json` holds the hash of every file; loading verifies them.
"""
_SHARES = {"wer", "cer", "eer", "error_rate", "accuracy", "unweighted_accuracy", "macro_f1"}
_UNITS = 40
"""New units that are listed."""
_METHODS = {
    "elp": "Encoder, Layer and Prompt adapters (arXiv 2407.21066)",
    "full": "Everything after the CNN, fine-tuned,",
    "weighted-sum": "A weighted sum of the states (arXiv 2105.01051)",
    "top-layers": "The last layers, fine-tuned,",
    "lora": "Low-rank updates (arXiv 2106.09685)",
    "bottleneck": "Bottleneck adapters (arXiv 1902.00751)",
    "norms": "Tuned norms or biases (arXiv 2106.10199)",
    "conv": "ConvAdapters (arXiv 2303.03267)",
    "prefix": "Deep prompts (arXiv 2501.16542)",
    "inter": "Parallel inner and inter adapters (arXiv 2403.00293)",
}
_PARTS = {"e": "E-adapters", "l": "L-adapters", "p": "P-adapter", "norm": "tuned norms", "head": "head"}


def render_card(model: ElpModel, lineage: Mapping[str, Any], metrics: Mapping[str, float], size: int) -> str:
    """Return the card as Markdown, without facts that the lineage lacks; `size` is the bytes of the tensors' file."""
    slot = str(lineage.get("slot", ""))
    rows = [
        (name, f"{value:.2%}" if _is_share(name.rpartition(".")[2]) else f"{value:,.6g}")
        for name, value in sorted(metrics.items())
    ]
    return _TEMPLATE.format(
        slot=f" `{_cell(slot)}`" if slot else "",
        method=_METHODS[str(method_to_dict(model.config).get("method", "elp"))],
        task=model.task.name.upper(),
        facts=_table(("", ""), _facts(model, lineage, size)),
        metrics=_table(("metric", "value"), rows) if metrics else "None were measured.",
        backbone=model.backbone.id,
    )


def _is_share(name: str) -> bool:
    """Return whether a metric is a share; variants of the CER are named ``cer_<variant>``."""
    return name in _SHARES or name.startswith("cer_")


def _facts(model: ElpModel, lineage: Mapping[str, Any], size: int) -> list[tuple[str, str]]:
    counts: Counter[str] = Counter()
    for name, parameter in model.trainable().items():
        counts[name.partition(".")[0]] += parameter.numel()
    order = [*(part for part in _PARTS if part in counts), *sorted(counts.keys() - _PARTS.keys())]
    parts = ", ".join(f"{_PARTS.get(part, part)} {counts[part]:,}" for part in order)
    facts = [
        ("slot", lineage.get("slot")),
        ("task", model.task.name),
        ("backbone", model.backbone.id),
        ("fingerprint", model.backbone.fingerprint),
        ("trainable parameters", f"{model.parameter_count():,} ({parts})"),
        ("size", f"{size / 1e6:.2f} MB"),
        ("dataset", _inside(lineage, "dataset", "tag")),
        ("Git revision of the data", _inside(lineage, "dataset", "revision")),
        ("DVC hash of the data", _inside(lineage, "dataset", "dvc_hash")),
        ("golden set", _inside(lineage, "golden", "tag")),
        *_language_facts(lineage),
        ("code", _inside(lineage, "code", "revision")),
        ("seed", lineage.get("seed")),
        ("trained", lineage.get("created")),
    ]
    return [(name, str(value)) for name, value in facts if value not in (None, "")]


def _language_facts(lineage: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return language, units and new units; nothing for English letters, the default."""
    language = lineage.get("language")
    if not isinstance(language, Mapping):
        return []
    added = [str(unit) for unit in language.get("added") or ()]
    more = f" and {len(added) - _UNITS} more" if len(added) > _UNITS else ""
    return [
        ("language", language.get("code")),
        ("units", units_text(language["size"], language["kind"]) if "size" in language and "kind" in language else ""),
        ("new units", " ".join(added[:_UNITS]) + more),
        ("head started from", language.get("parent")),
    ]


def _inside(lineage: Mapping[str, Any], part: str, key: str) -> Any:
    found = lineage.get(part)
    return found.get(key) if isinstance(found, Mapping) else None


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return "\n".join(lines + [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
