"""A real server that delivers: its offline root, and champions made request by request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.distribution.pull_set import PullResult, pull_set
from pipelines.distribution.sources import Source
from pipelines.registry.delivery.delivery_keys import ensure_online_keys, new_private_key
from pipelines.registry.delivery.published_root import publish_root
from pipelines.registry.delivery.root_ceremony import RootRequest, draft_root, sign_root
from pipelines.registry.signing.keys import KeyRing, load_trusted_keys
from tests.support.delivery_by_hand import ship_fingerprint
from tests.support.rest import Rest
from tests.support.versions_by_hand import Made, gate, promote, register

SITES = tuple(f"plant-{letter}" for letter in "abcdef")
"""Each test has a site of its own."""


@dataclass
class Plant:
    """A server with a root that two people signed, and its statement keys."""

    rest: Rest
    keys: KeyRing
    ceremony: Path
    signers: list[Path]

    @property
    def uri(self) -> str:
        return self.rest.uri

    @property
    def first_root(self) -> Path:
        return self.ceremony / "1.root.json"

    def promote(self, slot: str, mark: str, before: Made | None = None) -> Made:
        """Train, gate and promote a version."""
        made = register(self.rest, "elp." + slot.replace("/", "."), mark, lineage=self.keys)
        gate(self.rest, made, "passed", before, self.keys)
        promote(self.rest, made)
        return made

    def pull(self, box: Path, site: str, source: Source) -> PullResult:
        """Pull a site's set into a box with the right backbone."""
        return pull_set(box, site, source, lambda: {ship_fingerprint()}, first_root=self.first_root.read_bytes())

    def next_root(self) -> None:
        """Make, sign and hand out a root with all keys of the server as they are now."""
        keys = load_trusted_keys(self.keys.folder)
        pems = [path.with_suffix(".pub").read_text() for path in self.signers] if not self.first_root.exists() else []
        request = RootRequest(ensure_online_keys(keys.folder, SITES), keys.keys)
        draft_root(self.ceremony, request, datetime.now(UTC), signers=pems, threshold=2)
        for signer in self.signers:
            sign_root(self.ceremony, signer)
        publish_root(self.ceremony, keys.folder)


def make_plant(folder: Path, rest: Rest, keys: Path) -> Plant:
    """Make the first root for a running server."""
    signers = [folder / "people" / name for name in ("ann.pem", "bob.pem")]
    for path in signers:
        pem = new_private_key(path)
        path.with_suffix(".pub").write_text(pem)
    made = Plant(rest, load_trusted_keys(keys), folder / "ceremony", signers)
    made.next_root()
    return made
