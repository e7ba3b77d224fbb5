import numpy as np
import pytest

from tiny.clusters import assign, fit_centres
from tiny.features import centre_by_voice, mel_filters, mfcc, stack


def test_mel_filters_cover_the_telephone_band_only() -> None:
    heard = np.fft.rfftfreq(512, 1 / 16_000)[mel_filters().sum(axis=0) > 0]
    assert heard.min() >= 80
    assert heard.max() <= 3800


def test_a_row_for_every_hop_of_320_samples() -> None:
    wave = np.random.default_rng(0).integers(-9000, 9000, 20 * 320).astype(np.int16)
    assert mfcc(wave, mel_filters()).shape == (20, 65)


def test_a_row_sees_its_own_25_ms_in_its_middle_columns() -> None:
    wave = np.random.default_rng(0).integers(-9000, 9000, 20 * 320).astype(np.int16)
    changed = wave.copy()
    changed[10 * 320 + 100 : 10 * 320 + 200] //= 4
    rows = np.flatnonzero(np.abs(mfcc(wave, mel_filters()) - mfcc(changed, mel_filters()))[:, 26:39].max(axis=1) > 1e-3)
    assert rows.tolist() == [10]


def test_stacking_puts_the_neighbours_beside_a_frame() -> None:
    frames = np.arange(5, dtype=np.float32)[:, None]
    assert stack(frames, reach=1).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 4]]


def test_each_voice_ends_centred() -> None:
    rng = np.random.default_rng(0)
    voice = rng.integers(0, 3, 300)
    features = (rng.standard_normal((300, 4)) + 10 * voice[:, None]).astype(np.float32)
    centre_by_voice(features, voice)
    assert [features[voice == v].mean() for v in range(3)] == pytest.approx([0, 0, 0], abs=1e-5)


def test_clusters_find_separate_groups_again() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(4), 100)
    features = (rng.standard_normal((400, 3)) * 0.1 + 5 * np.eye(4)[group][:, :3]).astype(np.float32)
    labels = assign(features, fit_centres(features, 4, 400, seed=0))
    assert len(set(zip(group.tolist(), labels.tolist(), strict=True))) == 4


def test_assignment_is_the_nearest_centre() -> None:
    rng = np.random.default_rng(0)
    features, centres = rng.standard_normal((50, 3)).astype(np.float32), rng.standard_normal((7, 3)).astype(np.float32)
    distance = ((features[:, None] - centres) ** 2).sum(axis=2)
    assert assign(features, centres).tolist() == distance.argmin(axis=1).tolist()
