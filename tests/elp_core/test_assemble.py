from __future__ import annotations

import numpy as np
import pytest
import torch

from elp_core.assemble import answer_clips, build, evaluate, pick_device
from elp_core.config import ElpConfig
from elp_core.data.features import FeatureCache
from elp_core.errors import CorpusError, TrainingError
from elp_core.tasks import make_task
from elp_core.testing import tiny_backbone
from tests.support.clips import two_speakers

CLIPS = two_speakers(3)


@pytest.mark.parametrize("task", ["asr", "asv"])
def test_the_same_seed_builds_the_same_model(task: str) -> None:
    backbone, made = tiny_backbone("hubert"), make_task(task, CLIPS)
    state = torch.get_rng_state()
    one, same, other = (build(backbone, ElpConfig(), made, seed).state() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_batches_never_change_an_answer() -> None:
    model = build(tiny_backbone("hubert"), ElpConfig(), make_task("asv", CLIPS), 0)
    together, alone = (answer_clips(model, CLIPS, seconds, "cpu") for seconds in (100.0, 0.1))
    assert together.keys() == {clip.id for clip in CLIPS}
    assert all(np.allclose(together[key], alone[key], atol=1e-5) for key in together)


def test_kept_features_answer_alike() -> None:
    model, cache = build(tiny_backbone("hubert"), ElpConfig(), make_task("asv", CLIPS), 0), FeatureCache("f")
    fresh = answer_clips(model, CLIPS, 10.0, "cpu")
    first, again = (answer_clips(model, CLIPS, 10.0, "cpu", cache) for _ in range(2))
    assert len(cache) == len(CLIPS)
    assert all(np.array_equal(first[key], again[key]) for key in fresh)
    assert all(np.allclose(first[key], fresh[key], atol=0.01) for key in fresh)


def test_evaluation_leaves_the_mode_as_it_was() -> None:
    model = build(tiny_backbone("hubert"), ElpConfig(), make_task("asr", CLIPS), 0)
    model.train()
    result = evaluate(model, CLIPS, 10.0, "cpu")
    assert model.training
    assert result.scores.ids == tuple(clip.id for clip in CLIPS)


def test_nothing_to_evaluate_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(tiny_backbone("hubert"), ElpConfig(), make_task("asr", CLIPS), 0)
    with pytest.raises(CorpusError, match="no clips to evaluate"):
        evaluate(model, [], 10.0, "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(TrainingError, match="shows none"):
        pick_device("cuda")


def test_a_device_of_no_known_name_is_refused() -> None:
    with pytest.raises(TrainingError, match="'tpu' is no device, expected auto, cpu or cuda"):
        pick_device("tpu")
