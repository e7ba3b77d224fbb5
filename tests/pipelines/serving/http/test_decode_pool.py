"""Recordings of strangers are decoded in processes whose end is the end of one request."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from elp_core.audio import load
from elp_core.errors import AudioError
from pipelines.errors import RequestRefused
from pipelines.serving.http.decode_pool import DecodeLimits, DecodePool
from pipelines.serving.http.request_ticket import Ticket
from tests.support.clips import tone, voice, wav
from tests.support.damaged_audio import damaged, sound_formats

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    made = DecodePool(1, DecodeLimits(audio_seconds=20.0))
    yield made
    made.close()


def test_every_format_is_what_the_library_reads(pool: DecodePool) -> None:
    for content in sound_formats().values():
        np.testing.assert_array_equal(pool.decode(content), load(content))


def test_limits_of_length_and_channels(pool: DecodePool) -> None:
    with pytest.raises(AudioError, match=r"the recording lasts 21 s, at most 20 s are taken") as long:
        pool.decode(wav(tone(21.0)))
    assert long.value.reason == "too_long"
    both = wav(np.stack([voice(0.5, 200.0, 1), voice(0.5, 900.0, 2)], axis=1))
    with pytest.raises(AudioError, match="channel=left"):
        pool.decode(both)
    np.testing.assert_array_equal(pool.decode(both, "right"), load(both, "right"))


def test_a_decoder_that_dies_or_hangs_is_replaced() -> None:
    pool, content = DecodePool(1, DecodeLimits(decode_seconds=60.0)), wav(voice(0.5, 200.0, 1))
    pool.start()
    decoder = pool._free.get()
    assert decoder
    os.kill(decoder.process.pid, signal.SIGKILL)
    decoder.process.wait()
    pool._free.put(decoder)
    # it had nothing to do: the recording is not to blame
    np.testing.assert_array_equal(pool.decode(content), load(content))
    decoder = pool._free.get()
    assert decoder
    os.kill(decoder.process.pid, signal.SIGSTOP)
    killed = threading.Timer(0.5, os.kill, (decoder.process.pid, signal.SIGKILL))
    pool._free.put(decoder)
    killed.start()
    with pytest.raises(AudioError, match="the decoder ended at this recording") as died:
        pool.decode(content)
    killed.join()
    assert died.value.reason == "undecodable"
    np.testing.assert_array_equal(pool.decode(content), load(content))
    pool.limits = DecodeLimits(decode_seconds=0.3)
    decoder = pool._free.get()
    assert decoder
    os.kill(decoder.process.pid, signal.SIGSTOP)
    pool._free.put(decoder)
    with pytest.raises(AudioError, match="was not decoded in 0 s"):
        pool.decode(content)
    assert decoder.process.returncode == -signal.SIGKILL
    pool.limits = DecodeLimits()
    np.testing.assert_array_equal(pool.decode(content), load(content))
    pool.close()


def test_a_request_waits_for_a_decoder_no_longer_than_its_client_and_the_limit() -> None:
    pool, content = DecodePool(1, DecodeLimits(wait_seconds=0.3)), wav(voice(0.5, 200.0, 1))
    busy, gone = pool._free.get(), Ticket()
    with pytest.raises(RequestRefused, match=r"no decoder was free for 0 s; try again in 60 s") as refused:
        pool.decode(content)
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, "decoders_busy", 60)
    pool.limits = DecodeLimits()
    leaves = threading.Timer(0.1, gone.cancel)
    leaves.start()
    with pytest.raises(RequestRefused, match="the client has gone"):
        pool.decode(content, "same", gone)
    leaves.join()
    pool._free.put(busy)
    # nothing was decoded for it: no decoder was started
    assert pool._free.get() is None


def test_a_recording_that_needs_too_much_memory_is_refused() -> None:
    # the interpreter and its libraries need less, the samples of an hour more
    pool = DecodePool(1, DecodeLimits(memory_bytes=320 * 2**20))
    long = wav(np.zeros(8_000 * 3590, np.float32), rate=8_000, kind="FLAC")
    assert len(long) < 2**20
    with pytest.raises(AudioError, match=r"needs more memory|the decoder ended|breaks off|cannot be read") as refused:
        pool.decode(long)
    # where memory ends, in Python or in a decoder, depends on the libraries
    assert refused.value.reason in ("too_large", "undecodable", "corrupt")
    content = wav(voice(0.5, 200.0, 1))
    np.testing.assert_array_equal(pool.decode(content), load(content))
    pool.close()


def test_damaged_recordings_are_read_or_refused_and_threads_share_the_pool(pool: DecodePool) -> None:
    good, found = wav(voice(0.5, 200.0, 1)), []

    def decode(seed: int) -> None:
        for content in damaged(15, seed):
            try:
                found.append(len(pool.decode(content, "mix")))
            except AudioError as error:
                found.append(error.reason)
            np.testing.assert_array_equal(pool.decode(good), load(good))

    threads = [threading.Thread(target=decode, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 30
    # no decoder had to die for it
    assert "corrupt" in found
    assert "undecodable" not in found
