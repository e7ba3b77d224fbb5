"""The offline root: a draft from the server's request, the signatures of a threshold of people, and the check of both.

A ceremony happens in a folder that travels between the signers: every root so far (`1.root.json`, `2.root.json` …) and
the newest list of sites (`<n>.targets.json`). The private keys of the signers are never in it, nor on the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.files import write_whole
from pipelines.errors import AttestationError, DeliveryRefused, UsageError
from pipelines.registry.delivery.delivery_keys import SNAPSHOT, TIMESTAMP, public_key, role_of, signer_of
from pipelines.registry.delivery.delivery_metadata import (
    ROOT,
    TARGETS,
    expiry,
    metadata_file,
    name_statement_keys,
    read_metadata,
    signed_bytes,
    statement_keys,
)
from pipelines.registry.signing.canonical_json import parse_json
from pipelines.registry.signing.keys import TrustedKey, read_keys, read_public, write_keys

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey
    from tuf.api.metadata import DelegatedRole, Key, Metadata, Root, Targets

FORMAT = 1
ROOT_LASTING = timedelta(days=730)
"""Before a root or a list of sites expires, the same people sign the next one."""


@dataclass(frozen=True)
class RootRequest:
    """What the server asks the signers to name: its public keys (PEM), and the keys for statements."""

    online: Mapping[str, str]
    """By role: snapshot, timestamp, and ``site-<site>`` for each site."""
    statements: tuple[TrustedKey, ...]

    @property
    def sites(self) -> list[str]:
        """The sites, by name."""
        return sorted(role.removeprefix("site-") for role in self.online if role.startswith("site-"))

    @property
    def text(self) -> str:
        """The file that travels to the signers; `read_request` reads it."""
        keys = json.loads(write_keys(self.statements))
        return json.dumps({"format": FORMAT, "online": dict(self.online), "statements": keys}, indent=2) + "\n"


@dataclass(frozen=True)
class RootState:
    """The newest root and list of sites of a folder, and what they lack."""

    version: int
    threshold: int
    sites: tuple[str, ...]
    signed: tuple[str, ...]
    """Ids of the keys that have signed both."""
    missing: int
    """Signatures that are missing: of the new root's keys, or of those of the root before, whichever is more."""
    expires: datetime

    @property
    def complete(self) -> bool:
        """Whether a threshold has signed."""
        return self.missing == 0


def read_request(raw: bytes, where: str) -> RootRequest:
    """Read a request; raise AttestationError if it is malformed."""
    values = parse_json(raw, where)
    if set(values) != {"format", "online", "statements"} or values["format"] != FORMAT:
        raise AttestationError("malformed", f"{where}: expected the format {FORMAT}, online and statements")
    online = values["online"]
    if not isinstance(online, dict) or not all(isinstance(pem, str) for pem in online.values()):
        raise AttestationError("malformed", f"{where}: online: expected a public key (PEM) for each role")
    if not {SNAPSHOT, TIMESTAMP} <= set(online):
        raise AttestationError("malformed", f"{where}: online lacks {SNAPSHOT} or {TIMESTAMP}")
    for role, pem in online.items():
        read_public(pem, f"{where}: {role}")
    return RootRequest(online, read_keys(json.dumps(values["statements"]), where))


def draft_root(
    folder: Path,
    request: RootRequest,
    now: datetime,
    *,
    signers: Sequence[str] = (),
    threshold: int = 0,
    lasting: timedelta = ROOT_LASTING,
) -> RootState:
    """Write the next root and list of sites, unsigned, into a folder with the roots so far (or none).

    Without `signers` (public keys, PEM) or `threshold`, those of the root before stay. Raises UsageError if there are
    fewer signers than the threshold, or none.
    """
    if _newest(folder, ROOT) and not root_state(folder).complete:
        # a draft that nobody published: it is made again, and not followed by another one
        for role in (ROOT, TARGETS):
            _required(folder, role).unlink()
    before = _newest(folder, ROOT)
    known = read_metadata(before.read_bytes(), _root(), str(before)).signed if before else None
    keys = [public_key(pem, "signer") for pem in signers] or (_signers(known) if known else [])
    least = threshold or (known.roles[ROOT].threshold if known else 0)
    if not keys or not 1 <= least <= len({key.keyid for key in keys}):
        raise UsageError(
            f"a root needs a threshold from 1 to the number of its signers, got {least} of {len(keys)}; name the "
            "public key of each signer (--signer FILE.pub), and --threshold"
        )
    version = known.version + 1 if known else 1
    listed = _newest(folder, TARGETS)
    number = int(listed.name.partition(".")[0]) + 1 if listed else 1
    root = _draft(request, keys, least, version, expiry(now, lasting))
    targets = _site_list(request, number, expiry(now, lasting))
    write_whole(folder / metadata_file(TARGETS, number), signed_bytes(targets, ()), durable=True)
    write_whole(folder / metadata_file(ROOT, version), signed_bytes(root, ()), durable=True)
    return root_state(folder)


def sign_root(folder: Path, key: Path, passphrase: str = "") -> RootState:
    """Add a signer's signature to the newest root and list of sites of a folder."""
    signer = signer_of(key, passphrase)
    root, before = _read_roots(folder)
    listed = _required(folder, TARGETS)
    targets = read_metadata(listed.read_bytes(), _targets(), str(listed))
    keyid = signer.public_key.keyid
    able = {*root.signed.roles[ROOT].keyids, *(before.signed.roles[ROOT].keyids if before else ())}
    if keyid not in able:
        raise UsageError(f"the key {keyid[:12]} of {key} is none of the signers; the root names {_short(able)}")
    root.sign(signer, append=True)
    if keyid in root.signed.roles[TARGETS].keyids:
        targets.sign(signer, append=True)
        write_whole(listed, targets.to_bytes(), durable=True)
    write_whole(_required(folder, ROOT), root.to_bytes(), durable=True)
    return root_state(folder)


def root_state(folder: Path) -> RootState:
    """Return the state of a ceremony's folder; raise DeliveryRefused if the roots before the newest are no chain."""
    check_roots(folder, complete=False)
    root, before = _read_roots(folder)
    listed = _required(folder, TARGETS)
    targets = read_metadata(listed.read_bytes(), _targets(), str(listed))
    payload, role = root.signed_bytes, root.signed.roles[ROOT]
    results = [root.signed.get_verification_result(ROOT, payload, root.signatures)]
    if before is not None:
        results.append(before.signed.get_verification_result(ROOT, payload, root.signatures))
    results.append(root.signed.get_verification_result(TARGETS, targets.signed_bytes, targets.signatures))
    missing = max(result.threshold - len(result.signed) for result in results)
    # a signature that belongs to no key or to other bytes counts for nothing
    signed = sorted({keyid for result in results for keyid in result.signed})
    return RootState(
        version=root.signed.version,
        threshold=role.threshold,
        sites=sites_of(targets.signed),
        signed=tuple(signed),
        missing=max(0, missing),
        expires=min(root.signed.expires, targets.signed.expires),
    )


def check_roots(folder: Path, *, complete: bool = True) -> None:
    """Check that each root is signed by a threshold of the one before and of its own; the newest only if `complete`."""
    newest = int(_required(folder, ROOT).name.partition(".")[0])
    before: Metadata[Root] | None = None
    for version in range(1, newest + 1):
        path = folder / metadata_file(ROOT, version)
        if not path.is_file():
            raise DeliveryRefused("incomplete", f"{path} is missing: boxes need every root from the first on")
        root = read_metadata(path.read_bytes(), _root(), str(path))
        if root.signed.version != version:
            raise DeliveryRefused("malformed", f"{path} has the version {root.signed.version}")
        statement_keys(root.signed)
        if version < newest or complete:
            for delegator in (root, *([before] if before else [])):
                result = delegator.signed.get_verification_result(ROOT, root.signed_bytes, root.signatures)
                if not result:
                    raise DeliveryRefused(
                        "signature",
                        f"{path} has {len(result.signed)} of {result.threshold} signatures; sign it: elp root sign",
                    )
        before = root
    if complete and not (state := root_state(folder)).complete:
        raise DeliveryRefused(
            "signature", f"the list of sites in {folder} lacks {state.missing} signatures: elp root sign"
        )


def sites_of(targets: Targets) -> tuple[str, ...]:
    """Return the sites that a list of sites delegates to."""
    roles = targets.delegations.roles if targets.delegations and targets.delegations.roles else {}
    return tuple(sorted(name.removeprefix("site-") for name in roles))


def newest_metadata(folder: Path, role: str) -> Path:
    """Return the newest file of a role; raise DeliveryRefused if there is none."""
    return _required(folder, role)


def _draft(request: RootRequest, keys: Sequence[SSlibKey], threshold: int, version: int, until: datetime) -> Root:
    from tuf.api.metadata import Root

    root = Root(version=version, expires=until, consistent_snapshot=True)
    for key in keys:
        root.add_key(key, ROOT)
        root.add_key(key, TARGETS)
    root.roles[ROOT].threshold = root.roles[TARGETS].threshold = threshold
    for role in (SNAPSHOT, TIMESTAMP):
        root.add_key(public_key(request.online[role], role), role)
    name_statement_keys(root, request.statements)
    return root


def _site_list(request: RootRequest, version: int, until: datetime) -> Targets:
    from tuf.api.metadata import DelegatedRole, Delegations, Targets

    keys: dict[str, Key] = {}
    roles: dict[str, DelegatedRole] = {}
    for site in request.sites:
        role = role_of(site)
        key = public_key(request.online[role], role)
        keys[key.keyid] = key
        # terminating: no other role is asked for a path of this site
        paths = [f"{site}/set.json", f"{site}/*/*/*"]
        roles[role] = DelegatedRole(role, [key.keyid], 1, True, paths)
    return Targets(version=version, expires=until, delegations=Delegations(keys, roles))


def _read_roots(folder: Path) -> tuple[Metadata[Root], Metadata[Root] | None]:
    path = _required(folder, ROOT)
    version = int(path.name.partition(".")[0])
    earlier = folder / metadata_file(ROOT, version - 1)
    before = read_metadata(earlier.read_bytes(), _root(), str(earlier)) if version > 1 else None
    return read_metadata(path.read_bytes(), _root(), str(path)), before


def _signers(root: Root) -> list[Any]:
    return [root.keys[keyid] for keyid in root.roles[ROOT].keyids]


def _newest(folder: Path, role: str) -> Path | None:
    found = [path for path in folder.glob(f"*.{role}.json") if path.name.partition(".")[0].isdigit()]
    return max(found, key=lambda path: int(path.name.partition(".")[0]), default=None)


def _required(folder: Path, role: str) -> Path:
    found = _newest(folder, role)
    if found is None:
        raise DeliveryRefused("no root", f"{folder} has no {role}; make a root first: elp root make")
    return found


def _short(keyids: set[str]) -> str:
    return ", ".join(sorted(keyid[:12] for keyid in keyids))


def _root() -> type[Root]:
    from tuf.api.metadata import Root

    return Root


def _targets() -> type[Targets]:
    from tuf.api.metadata import Targets

    return Targets
