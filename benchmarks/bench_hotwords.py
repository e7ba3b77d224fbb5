"""Recall of names that the adapter was never trained on, without and with hotwords, and the WER of everything else.

    python benchmarks/bench_hotwords.py [ADAPTER] [--weights 8,16,24] [--beam 50] [--markdown FILE]

ADAPTER is the folder that `spoken_adapter.py` makes (it is trained first if it does not exist). Each of 20 names is
spoken by espeak-ng in 6 sentences of known words by speakers of the test split; 200 sentences without any name show
what hotwords cost elsewhere. The weight is chosen on other sentences of the validation speakers, with the same names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from spoken_adapter import DEFAULT_FOLDER, sentences, speak, spoken_adapter, voices

from elp_core.types import Split

NAMES = (
    *("kowalski", "nakamura", "fitzgerald", "okonkwo", "lindqvist", "montgomery", "abernathy", "delacroix"),
    *("zimmerman", "petrov", "castellano", "hawthorne", "rosenberg", "bergstrom", "mendoza", "ferguson"),
    *("gallagher", "velasquez", "thornton", "yamamoto"),
)
TAKES = 6


def with_names(seed: int) -> list[str]:
    """Return `TAKES` sentences for each name, with known words around it."""
    rng = np.random.default_rng(seed)
    found = []
    for place, words in enumerate(sentences(len(NAMES) * TAKES, seed)):
        parts = words.split()
        parts.insert(int(rng.integers(0, len(parts) + 1)), NAMES[place % len(NAMES)])
        found.append(" ".join(parts))
    return found


def spoken(texts: list[str], split: Split, seed: int) -> list[np.ndarray]:
    from pipelines.demo.espeak import Synthesiser

    synthesiser, rng, speakers = Synthesiser(), np.random.default_rng(seed), voices(split)
    return [speak(synthesiser, text, speakers[place % len(speakers)], rng) for place, text in enumerate(texts)]


def recall(hypotheses: list[str], texts: list[str]) -> float:
    """Return the share of spoken names that are in their transcripts."""
    hits = [
        any(word in found.split() for word in text.split() if word in NAMES)
        for found, text in zip(hypotheses, texts, strict=True)
    ]
    return float(np.mean(hits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapter", type=Path, nargs="?", default=DEFAULT_FOLDER)
    parser.add_argument("--weights", default="3,6,9,12,16,24,32")
    parser.add_argument("--beam", type=int, default=50)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    from elp_core.backbones import Backbone
    from elp_core.bundle import load_bundle
    from elp_core.decoding import DecodeConfig, beam_search
    from elp_core.inference import Recogniser
    from elp_core.metrics.wer import wer
    from elp_core.tasks import SpeechRecognition

    model = load_bundle(spoken_adapter(arguments.adapter), Backbone.from_pretrained("elp:tiny"))
    assert isinstance(model.task, SpeechRecognition)
    units, emit = model.task.units, Recogniser.of(model).emit
    lines = ["| speakers | decoding | recall of names | WER with names | WER elsewhere |", "|---|---|---|---|---|"]
    splits: tuple[tuple[Split, int], ...] = (("validation", 11), ("test", 21))
    for split, seed in splits:
        named, plain = with_names(seed), sentences(200, seed + 1)
        rows = {
            name: [emit([wave])[0] for wave in spoken(texts, split, seed)]
            for name, texts in (("named", named), ("plain", plain))
        }
        ways = {"beam": DecodeConfig(beam=arguments.beam)}
        for weight in map(float, arguments.weights.split(",")):
            ways[f"beam, hotwords at {weight:g}"] = DecodeConfig(
                beam=arguments.beam, hotwords=NAMES, hotword_weight=weight
            )
        found = {
            "greedy": {name: [units.decode(row.argmax(1).tolist()) for row in each] for name, each in rows.items()}
        }
        for way, config in ways.items():
            search = beam_search(units, config)
            found[way] = {name: [search(row) for row in each] for name, each in rows.items()}
        for way, texts in found.items():
            cells = recall(texts["named"], named), wer(texts["named"], named), wer(texts["plain"], plain)
            lines.append(f"| {split} | {way} | {cells[0]:.1%} | {cells[1]:.2%} | {cells[2]:.2%} |")
    print("\n".join(lines))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
