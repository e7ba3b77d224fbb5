from __future__ import annotations

from pathlib import Path

import pytest
import torch

from elp_core.data.collate import collate, collate_features
from elp_core.data.features import RECORDING, FeatureCache
from elp_core.data.store import TensorStore
from tests.support.clips import tone


def never() -> torch.Tensor:
    pytest.fail("computed again")


def test_features_are_worked_out_once() -> None:
    cache, features = FeatureCache("f"), torch.randn(5, 3)
    first = cache.get("clip", "0", lambda: features)
    assert torch.equal(cache.get("clip", "0", never), first)
    assert torch.equal(first, features.half())


def test_the_key_has_backbone_prefix_device_clip_and_variant(tmp_path: Path) -> None:
    places = [("f", "cnn", "cpu", "a", ""), ("g", "cnn", "cpu", "a", ""), ("f", "h1", "cpu", "a", "")]
    places += [("f", "cnn", "cuda", "a", ""), ("f", "cnn", "cpu", "b", ""), ("f", "cnn", "cpu", "a", "0.1")]
    store = TensorStore(tmp_path)
    for number, (mark, prefix, device, name, variant) in enumerate(places):
        cache = FeatureCache(mark, store=store, prefix=prefix, device=device)
        found = cache.get(name, variant, lambda n=number: torch.full((2, 2), float(n)))
        assert float(found[0, 0]) == number


def test_a_full_memory_takes_no_more() -> None:
    cache = FeatureCache("f", memory_bytes=64)
    for name in "abc":
        assert float(cache.get(name, "0", lambda: torch.ones(4, 8)).sum()) == 32
    assert len(cache) == 1


def test_what_other_runs_can_use_is_kept_on_disk_and_the_rest_is_not(tmp_path: Path) -> None:
    first, again = (FeatureCache("f", store=TensorStore(tmp_path)) for _ in range(2))
    kept = first.get("clip", RECORDING, lambda: torch.randn(5, 3))
    assert torch.equal(again.get("clip", RECORDING, never), kept)
    first.get("clip", "0.1", lambda: torch.zeros(5, 3), shared=False)
    assert float(again.get("clip", "0.1", lambda: torch.ones(5, 3)).sum()) == 15


def test_what_the_disk_refuses_stays_in_memory(tmp_path: Path) -> None:
    cache = FeatureCache("f", store=TensorStore(tmp_path, limit=16))
    kept = cache.get("clip", RECORDING, lambda: torch.randn(5, 3))
    assert torch.equal(cache.get("clip", RECORDING, never), kept)


def test_values_beyond_float16_are_kept_exactly() -> None:
    large = torch.tensor([[1e5, 1.0001]])
    assert torch.equal(FeatureCache("f").get("clip", RECORDING, lambda: large), large)


def test_collation_pads_with_zeros() -> None:
    padded, lengths = collate([tone(0.2), tone(0.1)])
    assert padded.shape == (2, 3200)
    assert lengths.tolist() == [3200, 1600]
    assert not padded[1, 1600:].any()
    features, counts = collate_features([torch.ones(3, 2).half(), torch.ones(5, 2).half()])
    assert (features.dtype, features.shape, counts.tolist()) == (torch.float32, (2, 5, 2), [3, 5])
    assert not features[0, 3:].any()


def test_states_are_collated_clip_by_clip() -> None:
    states, counts = collate_features([torch.ones(4, 3, 2).half(), torch.ones(4, 5, 2)])
    assert (states.dtype, states.shape, counts.tolist()) == (torch.float32, (4, 2, 5, 2), [3, 5])
    assert states[:, 0, :3].all()
    assert not states[:, 0, 3:].any()
