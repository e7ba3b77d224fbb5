"""The embedded backbone's model card, written from the records of the run alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiny.settings import Recipe


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _sources(corpus: dict[str, Any]) -> str:
    rows = [
        (s["name"], s["version"], f"{s['minutes']:.1f}", s["clips"], s["speakers"], s["licence"])
        for s in corpus["sources"]
    ]
    return _table(("source", "version", "minutes", "clips", "voices", "licence"), rows)


def _iterations(record: dict[str, Any]) -> str:
    rows = [
        (
            number,
            i["classes"],
            i["steps"],
            f"{i['minutes']:.0f} min",
            f"{i['seconds_per_step']:.2f} s",
            _percent(i["held_out_masked_accuracy"]),
            _percent(i["held_out_unmasked_accuracy"]),
        )
        for number, i in enumerate(record["iterations"], 1)
    ]
    header = ("iteration", "classes", "steps", "time", "per step", "accuracy, masked", "accuracy, unmasked")
    return _table(header, rows)


def _probes(metrics: dict[str, Any]) -> str:
    layers = metrics["layers"]
    questions = ("digit", "digit_unseen_speaker", "speaker")
    rows = [
        (number, *(_percent(layers[name][number][q]) for q in questions for name in ("embedded", "untrained")))
        for number in layers["embedded"]
    ]
    header = ["layer"]
    for question in ("digit", "digit, new speaker", "speaker"):
        header += [question, f"{question} (untrained)"]
    return _table(header, rows)


def card(recipe: Recipe, record: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Write the card (Markdown).

    Args:
        recipe: The parameters.
        record: The content of `pretraining.json`.
        metrics: The content of `probe.json`.
    """
    corpus, network = record["corpus"], recipe.network
    first = corpus["fsdd_first_take"]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    hours, reserved = corpus["minutes"] / 60, ", ".join(corpus["reserved_variants"])
    speeds = ", ".join(str(speed) for speed in corpus["speeds"])
    layer = recipe.iterations[-1].target_layer
    batches, low, high = recipe.batches, *recipe.batches.snr_db
    return f"""# elp:tiny

The embedded default backbone: {record["parameters"] / 1e6:.2f} M parameters, HuBERT architecture
({network.layers} layers, width {network.hidden}, feed-forward {network.feed_forward}, {network.heads} heads, layer norm
in the CNN, 20 ms frames), float16 on disk, input mono 16 kHz without normalisation. With it, everything
here runs offline on a laptop; a base-size model trained on a thousand hours is far better.

## Training audio

{hours:.1f} hours of distinct audio ({corpus["held_out_minutes"]:.0f} minutes of it held out), each clip at the speeds
{speeds}. {corpus["clips_left_out"]} files were broken, silent or too short.

{_sources(corpus)}

Voices are counted as the source distinguishes them: klettres has one for each language, the games one for each role.
The espeak-ng part is synthetic. **The training audio contains the six speakers of FSDD** (takes {first}-49), but
neither its test takes 0-4 nor takes 5-9, which are for validation, nor the espeak-ng variants {reserved}.

## How it was trained

Masked prediction (HuBERT, arXiv 2106.07447) of k-means classes, first of MFCCs, then of layer
{layer} of the first iteration's model. {_percent(batches.noisy)} of the windows had noise at {low:.0f} to
{high:.0f} dB, {_percent(batches.overlapped)} another talker, {_percent(batches.telephone)} a telephone band,
always with the targets of the clean audio (WavLM, arXiv 2110.13900). Accuracies are on held-out clips, clean.

{_iterations(record)}

Hardware: {record["hardware"]}. Finished {record["finished"]}. {versions}.

## Probes of its layers

Mean of a layer's frames, logistic regression trained on {metrics["train_clips"]} FSDD clips (takes
{first}-49) and tested on {metrics["test_clips"]} clips (takes 5-9). Layer 0 is the encoder's input. "New
speaker": the classifier was trained without that speaker (the backbone was trained on other takes of the voice).
"Untrained": the same architecture with random weights.

{_probes(metrics)}

## Make it again

```sh
export ELP_FSDD=/path/to/fsdd.tar.gz   # github.com/Jakobovski/free-spoken-digit-dataset
dvc repro                              # corpus -> features -> pretrain -> probe, parameters in params.yaml
```

Another machine gives other weights: the schedule is bounded by wall clock, and sums round differently.
"""
