"""Fetch one file whose size and hash are known: continue at the byte where it broke off, and verify it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from elp_core.fail_points import durable_write
from pipelines.distribution.sources import Source
from pipelines.distribution.trusted_metadata import TrustedTarget
from pipelines.distribution.tuf_refusals import refusals
from pipelines.errors import DeliveryRefused, ServiceError

SMALL = 4 * 2**20
"""Bytes of a statement or of `set.json`, at most."""


def fetch_bytes(source: Source, target: TrustedTarget) -> bytes:
    """Return the content of a small file, verified."""
    if target.length > SMALL:
        raise DeliveryRefused("too long", f"{target.path} has {target.length} bytes, expected at most {SMALL}")
    content = bytearray()
    with refusals():
        for chunk in source.read(target.place).chunks:
            content += chunk
            _refuse_longer(target, len(content))
    if len(content) != target.length or hashlib.sha256(content).hexdigest() != target.sha256:
        raise DeliveryRefused("altered", f"{target.path} of {source.shown} is not the file that was signed")
    return bytes(content)


def fetch_file(source: Source, target: TrustedTarget, place: Path) -> None:
    """Fetch a file to `place`, or leave the bytes that came next to it, where the next call continues.

    Raises DeliveryRefused if the source has another file, ServiceError if it breaks off.
    """
    part = place.with_name(f"{place.name}.part")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_file() and _matches(place, target):
        return
    resumed = part.exists() and part.stat().st_size > 0
    _append(source, target, part)
    if not _matches(part, target):
        part.unlink()
        if not resumed:
            raise DeliveryRefused("altered", f"{target.path} of {source.shown} is not the file that was signed")
        # what was here may be what is wrong: once more, from the first byte
        fetch_file(source, target, place)
        return
    with durable_write("downloaded file"):
        os.replace(part, place)


def _append(source: Source, target: TrustedTarget, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > target.length:
        part.unlink()
        have = 0
    if have < target.length or not have:
        with refusals():
            stream = source.read(target.place, have)
            # a source that does not continue sends the file from its beginning
            with durable_write("part of download"), part.open("ab" if stream.start else "wb") as file:
                got = stream.start
                for chunk in stream.chunks:
                    got += len(chunk)
                    _refuse_longer(target, got)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        if got < target.length:
            raise ServiceError(
                f"{source.shown} broke off {target.path} after {got} of {target.length} bytes; the next pull continues"
            )


def _refuse_longer(target: TrustedTarget, got: int) -> None:
    if got > target.length:
        raise DeliveryRefused("too long", f"{target.path} has {target.length} bytes, and the source sends more")


def _matches(path: Path, target: TrustedTarget) -> bool:
    if path.stat().st_size != target.length:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == target.sha256
