"""The adapters that a host serves: by name, in memory up to a limit, read from disk again when they are needed."""

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
class LoadedAdapter:
    """The modules of one adapter in memory, in eval mode."""

    adapters: ElpAdapters
    head: nn.Module
    task: Task
    nbytes: int


class HostedAdapter:
    """One adapter that a host serves or has served; the host can serve it again under any name.

    Serving it again moves no tensor while the host keeps it in memory, or while the caller holds this object.
    """

    def __init__(self, fingerprint: str, folder: Path | None, digest: str, loaded: LoadedAdapter | None = None) -> None:
        self.fingerprint = fingerprint
        """Of its backbone."""
        self.folder = folder
        """Of its bundle; None for a model given in memory."""
        self.digest = digest
        """Of the bundle when it was registered; empty for a model given in memory."""
        self._loaded = loaded
        self._names = 0
        self._pins = 0
        self._reading = threading.Lock()


class AdapterCache:
    """Adapters by name. One lock guards names, pins and the count of bytes; no file is read while it is held.

    An adapter that a caller has pinned stays in memory and unchanged, even if its name is removed or given away.
    """

    def __init__(self, backbone: Backbone, limit: int | None) -> None:
        self._backbone = backbone
        self._limit = limit
        self._lock = threading.Lock()
        self._by_name: dict[str, HostedAdapter] = {}
        self._resident: OrderedDict[HostedAdapter, int] = OrderedDict()
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

    def verify(self, folder: Path) -> HostedAdapter:
        """Return the adapter of a bundle on disk, verified and not opened.

        Raises:
            BundleError, FingerprintMismatch, HostError: As `AdapterHost.load`.
        """
        manifest = verify_bundle(folder)
        self._check_fingerprint(manifest.fingerprint)
        _check_method(manifest.adapter)
        return HostedAdapter(manifest.fingerprint, folder, manifest.digest)

    def open(self, source: Path | ElpModel) -> HostedAdapter:
        """Return the adapter of a bundle on disk or of a model, on the backbone's device.

        Raises:
            BundleError, FingerprintMismatch, HostError: As `AdapterHost.load`.
        """
        if isinstance(source, ElpModel):
            self._check_fingerprint(source.backbone.fingerprint)
            source.adapters.to(self._backbone.device)
            source.head.to(self._backbone.device)
            return HostedAdapter(source.backbone.fingerprint, None, "", _loaded(source.eval()))
        manifest, model = open_bundle(source, self._backbone)
        return HostedAdapter(manifest.fingerprint, source, manifest.digest, _loaded(model))

    def add(self, name: str, hosted: HostedAdapter) -> None:
        """Serve an adapter under a new name.

        Raises:
            HostError: The name is in use.
        """
        with self._lock:
            if name in self._by_name:
                raise HostError(f"{name} is served already; give it another adapter with replace")
            self._assign(name, hosted)
            self._evict()

    def replace(self, name: str, hosted: HostedAdapter) -> HostedAdapter:
        """Serve another adapter under a name, read into memory first; return the previous one.

        Raises:
            BundleError, FingerprintMismatch, HostError: As `AdapterHost.replace`.
        """
        self._check_fingerprint(hosted.fingerprint)
        if hosted._loaded is None:
            self._read(hosted)
        with self._lock:
            before = self._find(name)
            self._assign(name, hosted)
            self._release(before)
            self._evict()
        return before

    def remove(self, name: str) -> HostedAdapter:
        """Remove a name, and return its adapter.

        Raises:
            HostError: The name is not in use.
        """
        with self._lock:
            before = self._find(name)
            del self._by_name[name]
            self._release(before)
        return before

    @contextlib.contextmanager
    def pinned(self, names: Sequence[str]) -> Iterator[list[tuple[HostedAdapter, LoadedAdapter]]]:
        """Give the present adapter of each name, and keep it in memory until the block ends.

        Raises:
            BundleError, HostError: As `AdapterHost.answer`.
        """
        with self._lock:
            found = [self._find(name) for name in names]
            for hosted in found:
                hosted._pins += 1
        try:
            # after the pins, so that no adapter read here is evicted by the next one
            loaded = {hosted: self._read(hosted) for hosted in dict.fromkeys(found)}
            yield [(hosted, loaded[hosted]) for hosted in found]
        finally:
            with self._lock:
                for hosted in found:
                    hosted._pins -= 1
                    self._drop_unused(hosted)
                self._evict()

    def _read(self, hosted: HostedAdapter) -> LoadedAdapter:
        with hosted._reading:  # of two threads that need it, one reads and the other waits for the result
            loaded = hosted._loaded
            if loaded is None:
                assert hosted.folder is not None
                manifest, model = open_bundle(hosted.folder, self._backbone)
                if manifest.digest != hosted.digest:
                    raise BundleError(
                        f"{hosted.folder} holds {manifest.digest}, registered was {hosted.digest}; "
                        "put the bundle back, or replace the adapter by the new one"
                    )
                loaded = _loaded(model)
            with self._lock:
                hosted._loaded = loaded
                # its name may have been removed while the file was read
                if hosted._names or hosted._pins:
                    self._keep(hosted, loaded)
                self._evict()
        return loaded

    def _find(self, name: str) -> HostedAdapter:
        if name not in self._by_name:
            some = ", ".join(sorted(self._by_name)[:5]) or "none"
            raise HostError(
                f"no adapter is served as {name!r}; {len(self._by_name)} are, such as: {some}; load it first"
            )
        return self._by_name[name]

    def _assign(self, name: str, hosted: HostedAdapter) -> None:
        self._by_name[name] = hosted
        hosted._names += 1
        if hosted._loaded is not None:
            self._keep(hosted, hosted._loaded)

    def _release(self, hosted: HostedAdapter) -> None:
        hosted._names -= 1
        self._drop_unused(hosted)

    def _keep(self, hosted: HostedAdapter, loaded: LoadedAdapter) -> None:
        if hosted not in self._resident:
            self._nbytes += loaded.nbytes
            self._resident[hosted] = loaded.nbytes
        self._resident.move_to_end(hosted)

    def _drop_unused(self, hosted: HostedAdapter) -> None:
        """Stop counting an adapter without name and pin; a caller that still holds it may keep it."""
        if not hosted._names and not hosted._pins:
            self._nbytes -= self._resident.pop(hosted, 0)

    def _evict(self) -> None:
        """Over the limit, drop unpinned bundles from memory, the least recently used first."""
        if self._limit is None or self._nbytes <= self._limit:
            return
        # a model without a folder could not be read again
        for hosted in [h for h in self._resident if not h._pins and h.folder is not None]:
            self._nbytes -= self._resident.pop(hosted)
            hosted._loaded = None
            if self._nbytes <= self._limit:
                return

    def _check_fingerprint(self, fingerprint: str) -> None:
        if fingerprint != self._backbone.fingerprint:
            raise FingerprintMismatch(fingerprint, self._backbone.fingerprint)


def _loaded(model: ElpModel) -> LoadedAdapter:
    _check_method(model.config)
    assert isinstance(model.adapters, ElpAdapters)
    nbytes = sum(tensor.nbytes for tensor in model.state().values())
    return LoadedAdapter(model.adapters, model.head, model.task, nbytes)


def _check_method(config: MethodConfig) -> None:
    if not isinstance(config, ElpConfig):
        raise HostError(f"a host mixes ELP adapters; this one is a {type(config).__name__}: serve it by `predict`")
