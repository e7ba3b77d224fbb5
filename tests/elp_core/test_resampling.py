from __future__ import annotations

import time

import numpy as np
import pytest
import soxr

from elp_core import resampling
from elp_core.private_names import torchaudio
from elp_core.resampling import resample
from tests.support.clips import tone

USUAL = (8000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)


@pytest.mark.parametrize("rate", USUAL)
def test_the_usual_rates_keep_the_bytes_of_torchaudio(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(soxr, "resample", lambda *_: pytest.fail("soxr"))
    samples = tone(0.3, rate=rate)
    expected = torchaudio().transforms.Resample(rate, 16_000)(torch.from_numpy(samples)).numpy()
    assert np.array_equal(resample(samples, rate), expected)


@pytest.mark.parametrize("rate", [7_999, 16_001, 22_255, 44_099, 47_999, 767_999])
def test_any_other_rate_is_quick_and_right(rate: int) -> None:
    started = time.process_time()
    found = resample(tone(1.0, rate=rate), rate)
    assert time.process_time() - started < 1.0
    assert len(found) == 16_000
    assert np.abs(found[500:-500] - tone(1.0)[500:-500]).max() < 2e-3


def test_both_implementations_agree_at_a_usual_rate() -> None:
    samples = tone(1.0, rate=44_100)
    by_soxr = resampling._by_soxr(samples, 44_100, 16_000)
    assert len(by_soxr) == len(resample(samples, 44_100))
    assert np.abs(by_soxr - resample(samples, 44_100))[200:-200].max() < 2e-3
