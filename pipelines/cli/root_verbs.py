"""`elp root`: the offline root of what boxes trust. Its keys are on no server; a threshold of people signs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from pipelines.cli.options import json_option, on_workspace
from pipelines.cli.output import emit, fields
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.delivery.root_ceremony import RootState

_folder = click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")
_passphrase = click.option(
    "--passphrase", is_flag=True, help="Ask for the passphrase of the key (or ELP_ROOT_PASSPHRASE)."
)


@click.group()
def root() -> None:
    """Make, sign and hand out the offline root that boxes trust.

    \b
    each signer:   elp root key ann.pem                 keeps ann.pem, hands out ann.pem.pub
    control host:  elp root request SITE … --to FILE    the keys of the server, and the sites
    a signer:      elp root make FOLDER --request FILE --signer ann.pem.pub … --threshold 2
    two signers:   elp root sign FOLDER --key ann.pem
    control host:  elp root publish FOLDER
    """


@root.command(name="key", short_help="Make the key of a signer.")
@click.argument("file", type=click.Path(path_type=Path))
@_passphrase
@json_option
def key_verb(file: Path, passphrase: bool) -> None:
    """Make the key pair of a signer: FILE, which stays with that person, and FILE.pub for the others."""
    from elp_core.files import write_whole
    from pipelines.registry.delivery.delivery_keys import new_private_key

    public = file.with_name(file.name + ".pub")
    write_whole(public, new_private_key(file, _secret(passphrase, confirm=True)))
    emit(
        {"key": file, "public": public}, lambda _: f"{file} signs: keep it off every server\n{public} is for the others"
    )


@root.command(name="request", short_help="Write what the signers have to name.")
@click.argument("sites", nargs=-1, required=True)
@click.option("--to", "file", required=True, type=click.Path(path_type=Path), help="The file for the signers.")
@on_workspace
def request_verb(workspace: Workspace, sites: tuple[str, ...], file: Path) -> None:
    """Write the public keys of this server, of all SITES, and of trainers, gates and the ledger, for the signers.

    It makes the server's keys that are missing. SITES are all sites from now on: one that is left out gets no sets.
    """
    from elp_core.files import write_whole
    from pipelines.registry.delivery.delivery_keys import ensure_online_keys
    from pipelines.registry.delivery.root_ceremony import RootRequest
    from pipelines.registry.delivery.site_set import site_of
    from pipelines.registry.signing.keys import key_folder, load_trusted_keys

    keys = key_folder(workspace.state)
    online = ensure_online_keys(keys, map(site_of, sites))
    made = RootRequest(online, load_trusted_keys(keys).keys)
    write_whole(file, made.text)
    shown = {"file": file, "sites": made.sites, "keys": [key.keyid for key in made.statements]}
    named = f"{count(len(made.sites), 'site')} and {count(len(made.statements), 'key')} for statements"
    emit(shown, lambda _: f"{file} names {named}")


@root.command(name="make", short_help="Draft the next root.")
@_folder
@click.option("--request", required=True, type=click.Path(path_type=Path), help="From elp root request.")
@click.option("--signer", "signers", multiple=True, type=click.Path(path_type=Path), help="Public key of a signer.")
@click.option("--threshold", type=click.IntRange(min=1), help="Signatures that count [default: 2, or as before].")
@click.option("--days", type=click.IntRange(1, 3650), default=730, show_default=True, help="How long it lasts.")
@json_option
def make_root_verb(folder: Path, request: Path, signers: tuple[Path, ...], threshold: int | None, days: int) -> None:
    """Draft the next root and list of sites in FOLDER, which has all roots so far.

    Without --signer the signers of the root before stay. A draft that is not signed is made again.
    """
    from pipelines.registry.delivery.root_ceremony import draft_root, read_request

    pems = [path.read_text(encoding="utf-8") for path in signers]
    state = draft_root(
        folder,
        read_request(request.read_bytes(), str(request)),
        datetime.now(UTC),
        signers=pems,
        threshold=threshold or (2 if pems else 0),
        lasting=timedelta(days=days),
    )
    emit(state, _shown)


@root.command(name="sign", short_help="Sign the newest root.")
@_folder
@click.option("--key", required=True, type=click.Path(path_type=Path), help="The signer's own key.")
@_passphrase
@json_option
def sign_verb(folder: Path, key: Path, passphrase: bool) -> None:
    """Sign the newest root and list of sites of FOLDER. Look at them first: elp root show."""
    from pipelines.registry.delivery.root_ceremony import sign_root

    emit(sign_root(folder, key, _secret(passphrase)), _shown)


@root.command(name="show", short_help="Show the newest root and what it lacks.")
@_folder
@json_option
def show_root_verb(folder: Path) -> None:
    """Show the newest root of FOLDER: sites, threshold, signatures, and until when it lasts."""
    from pipelines.registry.delivery.root_ceremony import root_state

    emit(root_state(folder), _shown)


@root.command(name="publish", short_help="Hand out the signed root to boxes.")
@_folder
@on_workspace
def publish_root_verb(workspace: Workspace, folder: Path) -> None:
    """Hand out the newest root of FOLDER, if a threshold has signed it. Run it where the server's keys are."""
    from pipelines.registry.delivery.published_root import publish_root
    from pipelines.registry.signing.keys import key_folder

    state = publish_root(folder, key_folder(workspace.state))
    emit(state, lambda _: f"root {state.version} is handed out; a new box gets: --root sha256:{_first(folder)}")


def _first(folder: Path) -> str:
    from pipelines.registry.signing.canonical_json import sha256

    return sha256((folder / "1.root.json").read_bytes())


def _secret(asked: bool, *, confirm: bool = False) -> str:
    import os

    known = os.environ.get("ELP_ROOT_PASSPHRASE", "")
    if known or not asked:
        return known
    return str(click.prompt("passphrase", hide_input=True, confirmation_prompt=confirm, err=True))


def _shown(state: RootState) -> str:
    return fields(
        [
            ("root", state.version),
            ("sites", ", ".join(state.sites)),
            ("threshold", state.threshold),
            ("signed by", ", ".join(keyid[:12] for keyid in state.signed)),
            ("missing", count(state.missing, "signature") if state.missing else "nothing: elp root publish"),
            ("until", f"{state.expires:%Y-%m-%d}"),
        ]
    )
