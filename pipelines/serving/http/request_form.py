"""The multipart form of a request, field by field: what is not understood is refused, never left out in silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import cast

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from elp_core.channels import Channel
from pipelines.errors import RequestRefused, UsageError
from pipelines.registry.slot import Slot
from pipelines.serving.http.api_keys import ApiKey
from pipelines.serving.http.served_set import not_served

MAX_FILES = 32
_MAX_FIELDS = 1200
_MAX_FIELD_BYTES = 64 * 2**10
CHANNELS = ("same", "left", "right", "mix")


class RequestForm:
    """The fields and files of one request. Names with ``[]`` at the end, as clients write lists, are the same names."""

    def __init__(self, raw: FormData) -> None:
        self._fields: dict[str, list[str]] = {}
        self._files: dict[str, list[UploadFile]] = {}
        for name, value in raw.multi_items():
            kind = self._fields if isinstance(value, str) else self._files
            cast("dict[str, list[str | UploadFile]]", kind).setdefault(name.removesuffix("[]"), []).append(value)

    def refuse_others(self, fields: Collection[str], files: Collection[str]) -> None:
        """Raise RequestRefused (400) for a field or a file that the route does not know."""
        for found, known, what in ((self._fields, fields, "field"), (self._files, files, "file")):
            if unknown := sorted(found.keys() - set(known)):
                raise _wrong(unknown[0], f"unknown {what} {unknown[0]!r}; expected {', '.join(sorted(known))}")

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of a list, without empty ones."""
        return tuple(value.strip() for value in self._fields.get(name, []) if value.strip())

    def one(self, name: str, default: str = "") -> str:
        """Return a value that may be given once; raises RequestRefused (400) for more."""
        found = self.all(name)
        if len(found) > 1:
            raise _wrong(name, f"the field {name} is given {len(found)} times, expected once")
        return found[0] if found else default

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return one of `allowed`; raises RequestRefused (400) for another value."""
        found = self.one(name, default)
        if found not in allowed:
            raise _wrong(name, f"the field {name} is {found!r}, expected one of {', '.join(allowed)}")
        return found

    def flag(self, name: str, default: bool) -> bool:
        """Return a truth value, ``true`` or ``false`` in any case: Python writes its own with a capital letter."""
        found = self.one(name, str(default)).lower()
        if found not in ("true", "false"):
            raise _wrong(name, f"the field {name} is {found!r}, expected true or false")
        return found == "true"

    @property
    def channel(self) -> Channel:
        """What is taken of a recording whose channels differ; without the field it is refused."""
        return cast("Channel", self.choice("channel", CHANNELS, "same"))

    def has_file(self, name: str) -> bool:
        """Return whether a file of this name was sent."""
        return name in self._files

    def needed(self, name: str) -> str:
        """Return a value that has to be given; raises RequestRefused (400) without one."""
        found = self.one(name)
        if not found:
            raise _wrong(name, f"the field {name} is missing")
        return found

    async def recordings(self, name: str) -> list[bytes]:
        """Return the contents of the files of a name; raises RequestRefused (400) if there is none."""
        files = self._files.get(name, [])
        if not files:
            raise _wrong(name, f"the file {name} is missing; send the recording as multipart/form-data, file {name}")
        return [await file.read() for file in files]

    async def recording(self, name: str) -> bytes:
        """Return the content of the one file of a name."""
        found = await self.recordings(name)
        if len(found) > 1:
            raise _wrong(name, f"the file {name} is given {len(found)} times, expected once")
        return found[0]

    def slot(self, request: Request, *, enrols: bool = False) -> Slot:
        """Return the slot in ``model`` if the key of the request may ask it, or with `enrols` may enrol voices in it.

        Raises RequestRefused: 400 without a model, 404 for what is no slot, 403 for a slot of others.
        """
        text = self.one("model")
        if not text:
            raise _wrong("model", "the field model is missing; expected SITE/TASK, such as plant-a/asr")
        try:
            slot = Slot.parse(text)
        except UsageError:
            raise not_served(text) from None
        if enrols:
            require_enrolling(request.state.key, slot)
        else:
            require_permission(request.state.key, slot, closed=request.state.closed)
        request.state.slot = str(slot)
        return slot


@asynccontextmanager
async def request_form(request: Request) -> AsyncIterator[RequestForm]:
    """Read the form of a request; its files are removed when the block ends."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestRefused(415, "content_type", "expected multipart/form-data with the recording as a file")
    form = request.form(max_files=MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES)
    async with form as raw:
        yield RequestForm(raw)


def require_permission(key: ApiKey | None, slot: Slot, *, closed: bool) -> None:
    """Raise RequestRefused (403) if the server asks for keys and this one has no scope with the slot."""
    if closed and (key is None or not key.permits(slot)):
        scopes = ", ".join(key.slots) if key else "none"
        raise RequestRefused(403, "scope", f"this key may not ask {slot}; its scopes are: {scopes}")


def may_see(request: Request, slot: Slot) -> bool:
    """Return whether a request may know that a slot is served."""
    key: ApiKey | None = request.state.key
    return not request.state.closed or (key is not None and key.permits(slot))


def require_enrolling(key: ApiKey | None, slot: Slot) -> None:
    """Raise RequestRefused (403) unless the key may enrol voices in the slot; a server without keys enrols nobody."""
    if key is None or not key.permits_enrolling(slot):
        scopes = (", ".join(key.enrols) or "none") if key else "there is no key"
        raise RequestRefused(
            403,
            "scope",
            f"enrolling in {slot} needs a key with that scope ({scopes}): elp api-keys add NAME --enrol {slot}",
        )


def _wrong(code: str, message: str) -> RequestRefused:
    return RequestRefused(400, code, message)
