"""Stage 3: every iteration of masked prediction, then the export.

Iteration 1 predicts the classes of stage 2. Each later one continues from the weights before it with a new head and a
re-warmed rate, and predicts classes of one of their layers. If the stage is killed and run again, it continues from the
last checkpoint. File names contain a digest of all inputs of an iteration: after a change of parameters or corpus the
stage trains again from the first iteration that the change affects, and keeps those before it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tiny.checkpoint import load_weights
from tiny.corpus import Corpus, open_corpus
from tiny.device import describe, pick_device
from tiny.export import export
from tiny.files import write_array, write_json
from tiny.network import MaskedPredictor, configure
from tiny.settings import Recipe, read_recipe
from tiny.targets import cluster_layer
from tiny.train import Trainer, run_iteration
from tiny.windows import sources

Log = Callable[[str], None]


def stem(recipe: Recipe, number: int) -> str:
    """Return the name of iteration `number`'s files without endings: its number and a digest of its inputs."""
    made_from = {
        "seed": recipe.seed,
        "network": vars(recipe.network),
        "batches": vars(recipe.batches),
        "training": {k: v for k, v in vars(recipe.training).items() if k != "checkpoint_minutes"},
        "iterations": [vars(iteration) for iteration in recipe.iterations[:number]],
        "corpus": (recipe.data / "corpus" / "corpus.json").read_text(encoding="utf-8"),
        "labels": hashlib.sha256((recipe.data / "features" / "labels.npy").read_bytes()).hexdigest(),
    }
    return f"iteration-{number}-{hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:8]}"


def _labels(recipe: Recipe, number: int, corpus: Corpus, folder: Path, log: Log) -> NDArray[np.uint16]:
    """Return the targets of iteration `number`, made if they do not exist."""
    if number == 1:
        return np.asarray(np.load(recipe.data / "features" / "labels.npy"))
    path = folder / f"{stem(recipe, number)}.labels.npy"
    if not path.exists():
        started = time.monotonic()
        model = MaskedPredictor(configure(recipe.network), 1)
        load_weights(folder / f"{stem(recipe, number - 1)}.safetensors", model)
        trainer = Trainer(recipe, number, model)
        labels = cluster_layer(trainer.model, corpus, trainer.iteration, recipe.seed, trainer.precision)
        write_array(path, labels)
        log(f"clustered in {(time.monotonic() - started) / 60:.1f} min, {len(np.unique(labels))} classes in use")
    return np.asarray(np.load(path))


def iterate(recipe: Recipe, number: int, corpus: Corpus, log: Log) -> dict[str, Any]:
    """Run iteration `number` (1 is the first) to its end and write its record."""
    folder, name = recipe.data / "training", stem(recipe, number)
    record = folder / f"{name}.json"
    if record.exists():
        return dict(json.loads(record.read_text(encoding="utf-8")))
    labels = _labels(recipe, number, corpus, folder, log)
    torch.manual_seed(recipe.seed + number)
    model = MaskedPredictor(configure(recipe.network), int(labels.max()) + 1)
    if number > 1:
        load_weights(folder / f"{stem(recipe, number - 1)}.safetensors", model)
    trainer = Trainer(recipe, number, model)
    train, held_out = sources(corpus, labels)
    result = run_iteration(trainer, train, held_out, folder / f"{name}.safetensors", log)
    write_json(record, vars(result))
    return dict(vars(result))


def build(recipe: Recipe, log: Log) -> dict[str, Any]:
    """Run the stage: write the backbone and `pretraining.json` into `recipe.export`."""
    corpus = open_corpus(recipe.data / "corpus")
    records = []
    for number in range(1, len(recipe.iterations) + 1):
        records.append(iterate(recipe, number, corpus, log))
        log(f"iteration {number}: {records[-1]}")
        export_iteration(recipe, number, records)
    made: dict[str, Any] = json.loads((recipe.export / "pretraining.json").read_text(encoding="utf-8"))
    return made


def export_iteration(recipe: Recipe, number: int, records: list[dict[str, Any]]) -> None:
    """Export the weights of iteration `number` and the record of their training."""
    model = MaskedPredictor(configure(recipe.network), 1)
    load_weights(recipe.data / "training" / f"{stem(recipe, number)}.safetensors", model)
    export(model, recipe.export)
    backbone = model.backbone
    write_json(
        recipe.export / "pretraining.json",
        {
            "parameters": sum(p.numel() for p in backbone.parameters()),
            "iterations": records,
            "hardware": describe(pick_device()),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in ("torch", "transformers", "numpy", "scikit-learn")},
            "corpus": json.loads((recipe.data / "corpus" / "corpus.json").read_text(encoding="utf-8")),
        },
    )


def main() -> None:
    """Run the stage with the recipe of the current folder; the log is also printed."""
    recipe = read_recipe()
    path = recipe.data / "training" / "log.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:

        def log(line: str) -> None:
            stamped = f"{datetime.now(UTC):%H:%M:%S} {line}"
            print(stamped, file=stream, flush=True)
            print(stamped, flush=True)

        build(recipe, log)


if __name__ == "__main__":
    main()
