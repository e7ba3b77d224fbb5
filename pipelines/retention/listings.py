"""The listings of tracked folders: in the DVC remote, or in its trash."""

from collections.abc import Iterable

from pipelines.datasets.dvc import DvcRemote
from pipelines.errors import DataRemoteAway, VersioningError
from pipelines.retention.data_trash import list_trash, read_listing
from pipelines.retention.deleted_data import deleted_files


class Listings:
    """The files of tracked folders, each listing read once."""

    def __init__(self, stored: DvcRemote, uri: str) -> None:
        self.stored, self.uri = stored, uri
        self.gap = ""
        """Why the files of the first listing that cannot be read, or is missing without a deletion, are not known."""
        self.unreadable = set[str]()
        self._known: dict[str, frozenset[str]] = {}
        self.trash = list_trash(stored)
        self._trashed = {one.md5: one for one in self.trash if one.md5.endswith(".dir")}
        self._by_policy: frozenset[str] | None = None

    def files(self, hashes: Iterable[str], name: str, *, needed: bool) -> frozenset[str]:
        """Return the hashes with the files of those that are folders; a missing listing has none."""
        return frozenset().union(*(self._folder(one, name, needed=needed) for one in hashes))

    def known(self, hashes: Iterable[str]) -> bool:
        """Return whether the files of all of these folders are known, which `files` was asked for before."""
        return all(self._known.get(one, True) for one in hashes)

    def _folder(self, md5: str, name: str, *, needed: bool) -> frozenset[str]:
        if not md5.endswith(".dir"):
            return frozenset({md5})
        if md5 not in self._known:
            self._known[md5] = self._read(md5, name)
        if needed and not self._known[md5] and not self.gap and md5 not in self.deleted_by_policy():
            self.gap = (
                f"the DVC remote lacks the listing {md5} of {name}, so its files are not known; restore the remote, or "
                "push it from a machine that has it: dvc push --all-tags"
            )
        return self._known[md5] | {md5}

    def _read(self, md5: str, name: str) -> frozenset[str]:
        """Return a listing and the files in it; an empty set if it is nowhere or cannot be read."""
        try:
            return self._content(md5) | {md5}
        except DataRemoteAway:
            raise
        except VersioningError as error:
            # one that is there and cannot be read is no empty folder: files that something keeps would go
            if md5 in self._trashed or self.stored.holds(md5):
                self.unreadable.add(md5)
                why = f"the listing {md5} of {name} cannot be read, so its files are not known: {error}"
                self.gap = self.gap or why
            return frozenset()

    def _content(self, md5: str) -> frozenset[str]:
        """Return the files in a listing, by its copy in the trash if the remote has none that can be read."""
        try:
            return frozenset(self.stored.listing(f"md5:{md5}").values())
        except DataRemoteAway:
            raise
        except VersioningError:
            if md5 not in self._trashed:
                raise
        return read_listing(self.stored, self._trashed[md5])

    def deleted_by_policy(self) -> frozenset[str]:
        """Return the files that the ledger records as deleted and not restored."""
        if self._by_policy is None:
            self._by_policy = frozenset(deleted_files(self.uri))
        return self._by_policy
