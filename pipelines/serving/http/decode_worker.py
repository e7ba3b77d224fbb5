"""The process that decodes recordings of strangers: its memory is limited, and its end ends no other request.

It is started by `decode_pool` with the number of a socket. A request is two messages: the channel and the longest
recording in seconds, then the content; the answer is samples, or the reason and the text of an `AudioError`. Nothing is
pickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from multiprocessing.connection import Connection

from elp_core import audio
from elp_core.channels import Channel
from elp_core.errors import AudioError
from elp_core.types import SAMPLE_RATE, Seconds

GOOD, BAD = b"+", b"-"


def main() -> None:
    """Decode recordings until the other side closes the socket."""
    descriptor, memory_bytes = map(int, sys.argv[1:])
    if memory_bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # decoders print about damaged files, one line for each frame
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        while True:
            wanted = json.loads(connection.recv_bytes())
            connection.send_bytes(_answer(connection.recv_bytes(), wanted["channel"], wanted["seconds"]))


def _answer(content: bytes, channel: Channel, longest: Seconds) -> bytes:
    try:
        seconds = audio.probe(content).seconds
        if longest < seconds < float("inf"):
            raise _too_long(seconds, longest)
        if channel == "same" and (differing := audio.differing_channels(content)) > 1:
            raise AudioError(
                "channels_differ",
                f"the recording has {differing} channels that differ, and they are not mixed unasked; send the field "
                "channel=left, channel=right or channel=mix",
            )
        samples = audio.load(content, channel)
        if len(samples) > longest * SAMPLE_RATE:
            raise _too_long(len(samples) / SAMPLE_RATE, longest)
        return GOOD + samples.tobytes()
    except AudioError as error:
        return BAD + json.dumps({"reason": error.reason, "message": str(error)}).encode()
    except MemoryError:
        text = f"the recording of {len(content):,} bytes needs more memory than a request may use; cut it"
        return BAD + json.dumps({"reason": "too_large", "message": text}).encode()


def _too_long(seconds: Seconds, longest: Seconds) -> AudioError:
    return AudioError("too_long", f"the recording lasts {seconds:.0f} s, at most {longest:.0f} s are taken; cut it")


if __name__ == "__main__":
    main()
