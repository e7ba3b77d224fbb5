"""Ogg: pages with a size each; every stream in the file begins with a page of its own."""

import struct

from elp_core.containers.lengths import Buffer, FileLength

MAGIC = b"OggS"


def ogg_length(content: Buffer) -> FileLength:
    """Return the length of an Ogg file by its pages, if it has several streams, and whether it ends inside a page.

    The header of an Ogg file names no length. That of a single stream is left to the decoder.
    """
    streams: list[list[int]] = []
    current: dict[int, list[int]] = {}
    position, size, cut = 0, len(content), ""
    while position + 4 <= size and content[position : position + 4] == MAGIC:
        if position + 27 > size or position + 27 + content[position + 26] > size:
            cut = "it ends inside a page"
            break
        flags, granule, serial = content[position + 5], *struct.unpack_from("<qI", content, position + 6)
        body = position + 27 + content[position + 26]
        end = body + sum(content[position + 27 : body])
        if end > size:
            cut = "it ends inside a page"
            break
        if flags & 2 and (timing := _timing(content[body : body + 40])):
            # rate, samples before the first one, position of the last one
            current[serial] = [*timing, 0]
            streams.append(current[serial])
        if granule > 0 and serial in current:
            current[serial][2] = granule
        position = end
    if not cut and 0 < size - position < 4 and MAGIC.startswith(content[position:size]):
        cut = "it ends inside a page"
    if len(streams) < 2:
        return FileLength(None, None, cut)
    return FileLength(None, sum(max(end - skip, 0) / rate for rate, skip, end in streams), cut)


def _timing(head: bytes) -> tuple[int, int] | None:
    """Return the positions a second of a stream of sound, and how many come before its first sample."""
    if head[:7] == b"\x01vorbis" and len(head) >= 16:
        rate, skip = int.from_bytes(head[12:16], "little"), 0
    elif head[:8] == b"OpusHead" and len(head) >= 12:
        rate, skip = 48_000, int.from_bytes(head[10:12], "little")
    else:
        return None
    return (rate, skip) if rate else None
