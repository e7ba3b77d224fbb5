from __future__ import annotations

from pathlib import Path

import pytest
import torch

from elp_core.data.collate import collate, collate_features
from elp_core.data.features import FeatureCache
from tests.support.clips import tone


def never() -> torch.Tensor:
    pytest.fail("computed again")


def test_features_are_worked_out_once() -> None:
    cache, features = FeatureCache("f"), torch.randn(5, 3)
    first = cache.get("clip", "0", lambda: features)
    assert torch.equal(cache.get("clip", "0", never), first)
    assert torch.equal(first, features.half())


def test_the_key_has_backbone_clip_and_variant(tmp_path: Path) -> None:
    for number, (mark, clip, variant) in enumerate(
        [("f", "a", "0"), ("g", "a", "0"), ("f", "b", "0"), ("f", "a", "1")]
    ):
        found = FeatureCache(mark, folder=tmp_path).get(clip, variant, lambda n=number: torch.full((2, 2), float(n)))
        assert float(found[0, 0]) == number


def test_a_full_memory_takes_no_more() -> None:
    cache = FeatureCache("f", memory_bytes=64)
    for name in "abc":
        assert float(cache.get(name, "0", lambda: torch.ones(4, 8)).sum()) == 32
    assert len(cache) == 1


def test_the_disk_keeps_them_for_the_next_run(tmp_path: Path) -> None:
    first = FeatureCache("f", folder=tmp_path).get("clip", "0", lambda: torch.randn(5, 3))
    assert torch.equal(FeatureCache("f", folder=tmp_path).get("clip", "0", never), first)


def test_a_damaged_entry_is_made_anew(tmp_path: Path) -> None:
    FeatureCache("f", folder=tmp_path).get("clip", "0", lambda: torch.zeros(5, 3))
    next(tmp_path.rglob("*.safetensors")).write_bytes(b"cut")
    assert float(FeatureCache("f", folder=tmp_path).get("clip", "0", lambda: torch.ones(5, 3)).sum()) == 15
    assert float(FeatureCache("f", folder=tmp_path).get("clip", "0", never).sum()) == 15


def test_collation_pads_with_zeros() -> None:
    padded, lengths = collate([tone(0.2), tone(0.1)])
    assert padded.shape == (2, 3200)
    assert lengths.tolist() == [3200, 1600]
    assert not padded[1, 1600:].any()
    features, counts = collate_features([torch.ones(3, 2).half(), torch.ones(5, 2).half()])
    assert (features.dtype, features.shape, counts.tolist()) == (torch.float32, (2, 5, 2), [3, 5])
    assert not features[0, 3:].any()
