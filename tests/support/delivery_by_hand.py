"""A delivery without a server: an offline root of three people, real bundles, statements and metadata, in folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from elp_core.bundle.format import CARD, MANIFEST, digest_of
from pipelines.distribution.pull_set import PullResult, pull_set
from pipelines.distribution.sources import FolderSource, Source
from pipelines.registry.delivery.delivery_keys import ensure_online_keys, new_private_key
from pipelines.registry.delivery.root_ceremony import RootRequest, draft_root, sign_root
from pipelines.registry.delivery.site_set import ENTRY, LINEAGE, VERDICT, DeliveredAdapter, SiteSet
from pipelines.registry.ledger.entry import Event, Head, Principal, next_entry, sign_entry
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.signing.keys import KeyRing
from pipelines.server.delivery.publish_metadata import PublishedSet, publish_metadata
from tests.support.versions_by_hand import NOON, Made, bundle_files, lineage_of, verdict_on

SITE, OTHER = "plant-a", "plant-b"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Shipped:
    """A champion with the contents of all its files by name."""

    adapter: DeliveredAdapter
    contents: dict[str, bytes]

    @property
    def files(self) -> dict[str, bytes]:
        """Contents by target path."""
        return {self.adapter.path(name): content for name, content in self.contents.items()}


@dataclass
class Depot:
    """The operator's side: keys, the root, and what was published last for each site."""

    folder: Path
    statements: KeyRing
    signers: list[Path]
    sets: dict[str, list[Shipped]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, sites: Sequence[str] = (SITE, OTHER)) -> Depot:
        """Make keys and a root that two of three people signed."""
        made = cls(
            folder, ensure_keys(folder / "keys"), [folder / "people" / f"{name}.pem" for name in ("ann", "bob", "eve")]
        )
        pems = [new_private_key(path) for path in made.signers]
        made.root(pems, 2, made.signers[:2], sites)
        return made

    def root(
        self, pems: Sequence[str], threshold: int, signing: Sequence[Path], sites: Sequence[str] = (SITE, OTHER)
    ) -> None:
        """Draft the next root and sign it with these keys; empty `pems` keep the signers."""
        request = RootRequest(ensure_online_keys(self.folder / "keys", sites), self.statements.keys)
        draft_root(self.metadata, request, NOW, signers=pems, threshold=threshold)
        for key in signing:
            sign_root(self.metadata, key)

    @property
    def metadata(self) -> Path:
        return self.folder / "delivery" / "metadata"

    @property
    def first_root(self) -> bytes:
        return (self.metadata / "1.root.json").read_bytes()

    def ship(
        self,
        slot: str,
        version: int,
        mark: str,
        *,
        event: Event = "promoted",
        verdict: Mapping[str, object] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Shipped:
        """Make a champion; `verdict` replaces fields of its verdict, `files` are those of its bundle."""
        return ship(self.statements, slot, version, mark, event=event, verdict=verdict, files=files)

    def publish(self, at: datetime = NOW, **sets: Sequence[Shipped]) -> None:
        """Publish these sets (``plant_a=…``) at a moment."""
        self.sets |= {name.replace("_", "-"): list(shipped) for name, shipped in sets.items()}
        published = {
            site: PublishedSet(
                SiteSet(site, tuple(one.adapter for one in shipped)),
                {path: (len(raw), sha256(raw)) for one in shipped for path, raw in one.files.items()},
            )
            for site, shipped in self.sets.items()
        }
        publish_metadata(self.folder / "delivery", self.folder / "keys", lambda sites: published, at, changed=True)

    def medium(self, folder: Path, site: str = SITE, timestamp: str = "media.json") -> FolderSource:
        """Write what `elp export` writes, from the files of this depot."""
        shutil.copytree(self.metadata, folder / "metadata", dirs_exist_ok=True)
        shutil.copy(self.metadata / timestamp, folder / "metadata" / "timestamp.json")
        for path in self.metadata.glob(f"*.{site}.set"):
            place = folder / "targets" / site / f"{path.name.partition('.')[0]}.set.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
        for one in self.sets.get(site, ()):
            for path, raw in one.files.items():
                parent, _, name = path.rpartition("/")
                file = folder / "targets" / parent / f"{sha256(raw)}.{name}"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(raw)
        return FolderSource(folder)

    def pull(
        self, box: Path, source: Source, at: datetime = NOW, fingerprint: str = "", **options: object
    ) -> PullResult:
        """Pull as the site's box, with the first root of this depot."""
        fingerprint = fingerprint or ship_fingerprint()
        options = {"first_root": self.first_root, "now": at, **options}
        return pull_set(box, SITE, source, lambda: {fingerprint}, **options)


def ship(
    keys: KeyRing,
    slot: str,
    version: int,
    mark: str,
    *,
    event: Event = "promoted",
    verdict: Mapping[str, object] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Shipped:
    """Make a champion whose statements these keys sign; its bundle is made here, or consists of these files."""
    from dataclasses import replace

    contents = dict(files or bundle_files(mark))
    bundle, model = digest_of(contents[MANIFEST]), "elp." + slot.replace("/", ".")
    made = Made(model, version, bundle, contents, _fingerprint(contents), "run", "m-1", "1/models/m-1/artifacts")
    assert files or mark.encode() in contents[CARD]
    statements = {LINEAGE: sign(lineage_of(made).payload, keys, "lineage").text.encode()}
    judged = replace(verdict_on(made, "passed", None), **(verdict or {}))
    if event != "overridden":
        statements[VERDICT] = sign(judged.payload, keys, "verdict").text.encode()
    entry = next_entry(
        Head(), "", event=event, slot=slot, before=None, after=version, bundle=bundle, reason="it passed",
        principal=Principal("ann", True, ""),
    )  # fmt: skip
    statements[ENTRY] = sign_entry(entry, keys).envelope.encode()
    adapter = DeliveredAdapter(
        slot=slot,
        version=version,
        bundle=bundle,
        backbone="tiny",
        fingerprint=made.fingerprint,
        lineage=sha256(statements[LINEAGE]),
        lineage_at=NOON,
        verdict=sha256(statements[VERDICT]) if VERDICT in statements else "",
        verdict_at=NOON if VERDICT in statements else "",
        entry=sha256(statements[ENTRY]),
    )
    return Shipped(adapter, {**contents, **statements})


def ship_fingerprint() -> str:
    """The fingerprint of the backbone of the bundles made here."""
    return _fingerprint(bundle_files("x"))


def _fingerprint(files: Mapping[str, bytes]) -> str:
    return str(json.loads(files["adapter_config.json"])["backbone"]["fingerprint"])
