"""The stages together, and the published outcome."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from tiny import features, pretrain, probe
from tiny.corpus import Prepared, assemble
from tiny.files import write_array, write_json, write_table
from tiny.network import MaskedPredictor, configure
from tiny.settings import Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def built(recipe: Recipe) -> Recipe:
    """A corpus of 40 clips of noise by four voices, with MFCC targets."""
    rng = np.random.default_rng(0)
    waves = [rng.integers(-9000, 9000, int(rng.integers(15, 60)) * 320).astype(np.int16) for _ in range(40)]
    settings = dataclasses.replace(recipe.corpus, speeds=(1.0,))
    prepared = (Prepared("talk", f"voice-{n % 4}", f"{n}", (wave,)) for n, wave in enumerate(waves))
    audio, index, _ = assemble(prepared, settings)
    write_array(recipe.data / "corpus" / "audio.npy", audio)
    write_table(recipe.data / "corpus" / "index.parquet", index)
    source = {"name": "talk", "version": "1", "licence": "CC0-1.0", "minutes": 0.5, "clips": 40, "speakers": 4}
    summary = {"sources": [source], "minutes": 0.5, "held_out_minutes": 0.1, "clips_left_out": 0, "speeds": [1.0]}
    write_json(recipe.data / "corpus" / "corpus.json", summary | {"reserved_variants": ["f1"], "fsdd_first_take": 10})
    features.build(recipe)
    return recipe


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """FSDD in small: two digits, two speakers, takes 4 to 13; the digit is a pitch."""
    rng = np.random.default_rng(0)
    for digit in (1, 2):
        for speaker in ("anna", "otto"):
            for take in range(4, 14):
                wave = np.sin(np.arange(2400) * 0.1 * digit) * 0.3 + 0.02 * rng.standard_normal(2400)
                (tmp_path / "fsdd").mkdir(exist_ok=True)
                soundfile.write(tmp_path / "fsdd" / f"{digit}_{speaker}_{take}.wav", wave, 8000)
    return tmp_path / "fsdd"


@pytest.mark.integration
def test_from_corpus_to_card(built: Recipe, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    record = pretrain.build(built, lines.append)
    assert [(i["steps"], i["classes"] > 1) for i in record["iterations"]] == [(4, True), (3, True)]
    monkeypatch.setenv("ELP_FSDD", str(digits))
    metrics = probe.build(built)
    assert (metrics["train_clips"], metrics["test_clips"]) == (16, 20)
    assert metrics["layers"]["embedded"].keys() == {"0", "1", "2"}
    card = (built.export / "README.md").read_text()
    assert "| talk | 1 | 0.5 | 40 | 4 | CC0-1.0 |" in card
    assert f"| {record['iterations'][1]['classes']} | 3 |" in card


@pytest.mark.integration
def test_a_finished_iteration_is_not_trained_again(built: Recipe) -> None:
    first = pretrain.build(built, lambda _: None)
    weights = built.data / "training" / f"{pretrain.stem(built, 1)}.safetensors"
    stamp = weights.stat().st_mtime_ns
    second = pretrain.build(built, lambda _: None)
    assert second["iterations"] == first["iterations"]
    assert weights.stat().st_mtime_ns == stamp


@pytest.mark.integration
def test_a_change_trains_anew_what_it_reaches_and_nothing_before(built: Recipe) -> None:
    pretrain.build(built, lambda _: None)
    weights = built.data / "training" / f"{pretrain.stem(built, 1)}.safetensors"
    stamp = weights.stat().st_mtime_ns
    longer = dataclasses.replace(built.iterations[1], steps=5)
    changed = dataclasses.replace(built, iterations=(built.iterations[0], longer))
    assert pretrain.stem(changed, 1) == pretrain.stem(built, 1)
    record = pretrain.build(changed, lambda _: None)
    assert [iteration["steps"] for iteration in record["iterations"]] == [4, 5]
    assert weights.stat().st_mtime_ns == stamp


def test_the_exported_folder_opens_in_transformers_as_float32(recipe: Recipe) -> None:
    from transformers import HubertModel

    from tiny.export import export

    model = MaskedPredictor(configure(recipe.network), 4).eval()
    export(model, recipe.export)
    opened = HubertModel.from_pretrained(recipe.export).eval()
    assert next(opened.parameters()).dtype is torch.float32
    waves = torch.randn(1, 6000)
    torch.testing.assert_close(opened(waves).last_hidden_state, model.hidden_states(waves)[-1], atol=0.02, rtol=0.02)


def test_a_probe_answers_what_the_features_hold() -> None:
    rng = np.random.default_rng(0)
    answers = np.arange(80) % 4
    vectors = np.concatenate([np.eye(4)[answers], rng.standard_normal((80, 3))], axis=1).astype(np.float32)
    train = np.arange(80) < 60
    assert probe.accuracy(vectors, answers, train, ~train, 0) == 1.0
    assert probe.accuracy(vectors[:, 4:], answers, train, ~train, 0) < 0.7


def test_every_module_of_the_recipe_belongs_to_a_stage() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    named = {
        Path(d).name for stage in stages.values() for d in stage["deps"] if d.startswith(("data/tiny/", "pipelines/"))
    }
    support = {"__init__.py", "checkpoint.py", "device.py", "files.py", "settings.py"}
    assert named | support == {p.name for p in (ROOT / "data" / "tiny").glob("*.*")} | {
        "espeak.py",
        "spoken_words.py",
        "spoken_words.txt",
    }
    assert all(f"env PYTHONPATH=data python -m tiny.{name}" == stage["cmd"] for name, stage in stages.items())


def test_the_embedded_backbone_is_small_and_says_what_it_heard() -> None:
    folder = ROOT / "elp_core" / "backbones" / "tiny"
    record = json.loads((folder / "pretraining.json").read_text())
    assert record["parameters"] <= 7_000_000
    assert (folder / "model.safetensors").stat().st_size <= 14 * 2**20
    card = (folder / "README.md").read_text()
    assert all(source["name"] in card for source in record["corpus"]["sources"])
    assert set(read_recipe(ROOT / "params.yaml").corpus.reserved_variants) <= set(record["corpus"]["reserved_variants"])


def test_the_embedded_backbone_knows_more_than_an_untrained_one() -> None:
    layers = json.loads((ROOT / "elp_core" / "backbones" / "tiny" / "probe.json").read_text())["layers"]
    best = {name: max(layer["digit_unseen_speaker"] for layer in layers[name].values()) for name in layers}
    assert best["embedded"] > best["untrained"] + 0.1
