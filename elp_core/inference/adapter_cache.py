"""The adapters that a host serves: by name, in memory up to a bound, the least recently used read again when needed."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from elp_core.adapters import ElpAdapters
from elp_core.backbones import Backbone
from elp_core.bundle import open_bundle, verify_bundle
from elp_core.config import ElpConfig
from elp_core.errors import BundleError, FingerprintMismatch, HostError
from elp_core.methods import MethodConfig
from elp_core.model import ElpModel
from elp_core.tasks import Task


@dataclass(frozen=True)
class Parts:
    """What answers are made with, in eval mode."""

    adapters: ElpAdapters
    head: nn.Module
    task: Task
    nbytes: int


class Hosted:
    """One adapter that a host serves or has served; it can be put back under any name of that host.

    As long as it is kept in memory by the host, or is held by the caller after `replace` gave it back, putting it back
    moves no tensor.
    """

    def __init__(self, fingerprint: str, folder: Path | None, digest: str, parts: Parts | None = None) -> None:
        self.fingerprint = fingerprint
        """Of its backbone."""
        self.folder = folder
        """Where it is read from; None for a model given in memory."""
        self.digest = digest
        """Of the bundle as it was registered; empty for a model given in memory."""
        self._parts = parts
        self._names = 0
        self._pins = 0
        self._reading = threading.Lock()


class AdapterCache:
    """Adapters by name. One lock guards names, pins and the count of bytes; no file is read while it is held.

    What a caller has pinned stays in memory, and stays itself, whatever happens to its name.
    """

    def __init__(self, backbone: Backbone, limit: int | None) -> None:
        self._backbone = backbone
        self._limit = limit
        self._lock = threading.Lock()
        self._by_name: dict[str, Hosted] = {}
        self._resident: OrderedDict[Hosted, int] = OrderedDict()
        """Bytes of each that is in memory and has a name or a pin, the least recently used first."""
        self._nbytes = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names in use, sorted."""
        with self._lock:
            return tuple(sorted(self._by_name))

    @property
    def nbytes(self) -> int:
        """Bytes of tensors in memory."""
        with self._lock:
            return self._nbytes

    def registered(self, folder: Path) -> Hosted:
        """A bundle on disk, verified and not opened.

        Raises:
            BundleError: where it is no bundle as written.
            FingerprintMismatch: where it belongs to another backbone.
            HostError: where it is of another method than ELP.
        """
        manifest = verify_bundle(folder)
        self._refuse_foreign(manifest.fingerprint)
        _refuse_other(manifest.adapter)
        return Hosted(manifest.fingerprint, folder, manifest.digest)

    def opened(self, source: Path | ElpModel) -> Hosted:
        """A bundle on disk or a model, ready to answer.

        Raises:
            FingerprintMismatch: where it belongs to another backbone.
            BundleError: as `load_bundle` does.
            HostError: for a model of another method than ELP.
        """
        if isinstance(source, ElpModel):
            self._refuse_foreign(source.backbone.fingerprint)
            device = next(self._backbone.parameters()).device
            source.adapters.to(device)
            source.head.to(device)
            return Hosted(source.backbone.fingerprint, None, "", _parts(source.eval()))
        manifest, model = open_bundle(source, self._backbone)
        return Hosted(manifest.fingerprint, source, manifest.digest, _parts(model))

    def put(self, name: str, hosted: Hosted) -> None:
        """Give a new name to an adapter.

        Raises:
            HostError: where the name is in use.
        """
        with self._lock:
            if name in self._by_name:
                raise HostError(f"{name} is served already; give it another adapter with replace")
            self._name(name, hosted)
            self._evict()

    def exchange(self, name: str, hosted: Hosted) -> Hosted:
        """Let a name mean another adapter from now on; the one before is handed back.

        Raises:
            HostError: where there is no such name.
        """
        with self._lock:
            before = self._find(name)
            self._name(name, hosted)
            self._unname(before)
            self._evict()
            return before

    def take_off(self, name: str) -> Hosted:
        """Forget a name; its adapter is handed back.

        Raises:
            HostError: where there is no such name.
        """
        with self._lock:
            before = self._find(name)
            del self._by_name[name]
            self._unname(before)
            return before

    @contextlib.contextmanager
    def pinned(self, names: Sequence[str]) -> Iterator[list[tuple[Hosted, Parts]]]:
        """The adapters that these names mean at this moment, in memory until the block ends; one for each name.

        Raises:
            HostError: where there is no such name.
            BundleError: where a bundle has to be read again and is not the one that was registered.
        """
        with self._lock:
            found = [self._find(name) for name in names]
            for hosted in found:
                hosted._pins += 1
        try:
            ready = {hosted: self._read(hosted) for hosted in dict.fromkeys(found)}
            yield [(hosted, ready[hosted]) for hosted in found]
        finally:
            with self._lock:
                for hosted in found:
                    hosted._pins -= 1
                    self._drop_unused(hosted)
                self._evict()

    def ready(self, hosted: Hosted) -> None:
        """Bring an adapter into memory, without a name yet.

        Raises:
            FingerprintMismatch: where it belongs to another backbone.
            BundleError: where the bundle on disk is no longer what was registered.
            HostError: for an adapter of another method than ELP.
        """
        self._refuse_foreign(hosted.fingerprint)
        if hosted._parts is None:
            self._read(hosted)

    def _read(self, hosted: Hosted) -> Parts:
        with hosted._reading:  # of two that need it one reads, and the other waits for that
            parts = hosted._parts
            if parts is None:
                assert hosted.folder is not None
                manifest, model = open_bundle(hosted.folder, self._backbone)
                if manifest.digest != hosted.digest:
                    raise BundleError(
                        f"{hosted.folder} holds {manifest.digest}, registered was {hosted.digest}; "
                        "put the bundle back, or replace the adapter by the new one"
                    )
                parts = _parts(model)
            with self._lock:
                hosted._parts = parts
                if hosted._names or hosted._pins:
                    self._keep(hosted, parts)
                self._evict()
        return parts

    def _find(self, name: str) -> Hosted:
        if name not in self._by_name:
            some = ", ".join(sorted(self._by_name)[:5]) or "none"
            raise HostError(
                f"no adapter is served as {name!r}; {len(self._by_name)} are, such as: {some}; load it first"
            )
        return self._by_name[name]

    def _name(self, name: str, hosted: Hosted) -> None:
        self._by_name[name] = hosted
        hosted._names += 1
        if hosted._parts is not None:
            self._keep(hosted, hosted._parts)

    def _unname(self, hosted: Hosted) -> None:
        hosted._names -= 1
        self._drop_unused(hosted)

    def _keep(self, hosted: Hosted, parts: Parts) -> None:
        if hosted not in self._resident:
            self._nbytes += parts.nbytes
            self._resident[hosted] = parts.nbytes
        self._resident.move_to_end(hosted)

    def _drop_unused(self, hosted: Hosted) -> None:
        """No longer count what has neither name nor pin; whoever still holds it may keep it."""
        if not hosted._names and not hosted._pins:
            self._nbytes -= self._resident.pop(hosted, 0)

    def _evict(self) -> None:
        """Over the bound, let go of what can be read again and nobody is using, the least recently used first."""
        if self._limit is None or self._nbytes <= self._limit:
            return
        for hosted in [h for h in self._resident if not h._pins and h.folder is not None]:
            self._nbytes -= self._resident.pop(hosted)
            hosted._parts = None
            if self._nbytes <= self._limit:
                return

    def _refuse_foreign(self, fingerprint: str) -> None:
        if fingerprint != self._backbone.fingerprint:
            raise FingerprintMismatch(fingerprint, self._backbone.fingerprint)


def _parts(model: ElpModel) -> Parts:
    _refuse_other(model.config)
    assert isinstance(model.adapters, ElpAdapters)
    nbytes = sum(tensor.nbytes for tensor in model.state().values())
    return Parts(model.adapters, model.head, model.task, nbytes)


def _refuse_other(config: MethodConfig) -> None:
    if not isinstance(config, ElpConfig):
        raise HostError(f"a host mixes ELP adapters; this one is a {type(config).__name__}: serve it by `predict`")
