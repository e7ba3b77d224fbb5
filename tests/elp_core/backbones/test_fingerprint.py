from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elp_core.backbones import fingerprint_of, tensor_digests
from elp_core.testing import tiny_backbone

ARCHITECTURE: dict[str, Any] = {"hidden_size": 4}


def _tensors() -> dict[str, torch.Tensor]:
    return {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(7, dtype=torch.int64)}


def test_the_canonical_form_is_the_documented_one() -> None:
    raw = {name: tensor.numpy().tobytes() for name, tensor in _tensors().items()}
    digest = {name: hashlib.sha256(value).hexdigest() for name, value in raw.items()}
    form = f'a int64 scalar {digest["a"]}\nb float32 2x3 {digest["b"]}\n{{"hidden_size":4}}'
    assert (
        fingerprint_of(tensor_digests(_tensors()), ARCHITECTURE)
        == f"sha256:{hashlib.sha256(form.encode()).hexdigest()}"
    )


def test_the_architecture_is_ascii_json_with_sorted_keys() -> None:
    form = '{"activation":"gel\\u00fc","layers":[1,2],"width":3}'
    found = fingerprint_of({}, {"width": 3, "activation": "gel\u00fc", "layers": [1, 2]})
    assert found == f"sha256:{hashlib.sha256(form.encode()).hexdigest()}"


def test_bytes_are_little_endian_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = torch.tensor([[0x01020304, 0x05060708]], dtype=torch.int32)
    monkeypatch.setattr("sys.byteorder", "big")
    assert tensor_digests({"a": swapped}) == {
        "a": f"int32 1x2 {hashlib.sha256(bytes([1, 2, 3, 4, 5, 6, 7, 8])).hexdigest()}"
    }


def test_order_does_not_matter() -> None:
    backwards = dict(reversed(_tensors().items()))
    assert fingerprint_of(tensor_digests(backwards), ARCHITECTURE) == fingerprint_of(
        tensor_digests(_tensors()), ARCHITECTURE
    )


@given(st.integers(0, 5), st.integers(0, 31))
def test_one_flipped_bit_changes_it_and_the_digests_say_where(place: int, bit: int) -> None:
    changed = _tensors()
    changed["b"].reshape(-1).view(torch.int32)[place] ^= 1 << bit if bit < 31 else -(1 << 31)
    assert fingerprint_of(tensor_digests(changed), ARCHITECTURE) != fingerprint_of(
        tensor_digests(_tensors()), ARCHITECTURE
    )
    before, after = tensor_digests(_tensors()), tensor_digests(changed)
    assert [name for name in before if before[name] != after[name]] == ["b"]


@pytest.mark.parametrize(
    ("tensors", "architecture"),
    [
        ({**_tensors(), "b": torch.arange(6.0)}, ARCHITECTURE),
        ({**_tensors(), "b": torch.arange(6.0).reshape(2, 3).half()}, ARCHITECTURE),
        ({**_tensors(), "c": torch.zeros(1)}, ARCHITECTURE),
        (_tensors(), {"hidden_size": 5}),
    ],
)
def test_shape_dtype_names_and_architecture_count(
    tensors: dict[str, torch.Tensor], architecture: dict[str, Any]
) -> None:
    assert fingerprint_of(tensor_digests(tensors), architecture) != fingerprint_of(
        tensor_digests(_tensors()), ARCHITECTURE
    )


def test_memory_layout_does_not_matter() -> None:
    strided = {**_tensors(), "b": _tensors()["b"].t().contiguous().t()}
    assert fingerprint_of(tensor_digests(strided), ARCHITECTURE) == fingerprint_of(
        tensor_digests(_tensors()), ARCHITECTURE
    )


def test_backbones_of_other_weights_or_architecture_differ() -> None:
    prints = {
        tiny_backbone("hubert").fingerprint,
        tiny_backbone("hubert", seed=1).fingerprint,
        tiny_backbone("wav2vec2").fingerprint,
        tiny_backbone("hubert", layer_norm_eps=1e-6).fingerprint,
    }
    assert len(prints) == 4
    assert tiny_backbone("hubert").fingerprint in prints
