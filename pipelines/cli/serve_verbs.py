"""`elp serve`: the champions over HTTP; `elp api-keys`: who may ask them."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from elp_core.types import Seconds
from pipelines.cli.options import FiniteNumber, on_workspace_or_box
from pipelines.cli.output import emit, progress, table
from pipelines.local.workspace import Workspace
from pipelines.serving.http.api_keys import ApiKey, ApiKeyFile, add_api_key, read_api_keys, revoke_api_key
from pipelines.serving.server_record import recorded_server, settings_digest

_MB = 2**20


@click.command(name="serve")
@click.argument("sites", nargs=-1, metavar="[SITE]…")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), default=8400, show_default=True)
@click.option(
    "--public-host",
    "public_hosts",
    multiple=True,
    metavar="NAME",
    help="Name of a proxy that passes requests on, such as speech.example.org; several are possible.",
)
@click.option(
    "--poll",
    type=FiniteNumber(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two looks at the champions.",
)
@click.option(
    "--memory", type=click.IntRange(min=1), metavar="MB", help="Limit for adapters in memory [default: none]."
)
@click.option(
    "--max-requests", type=click.IntRange(min=1), default=64, show_default=True, help="At once; the next one gets 429."
)
@click.option(
    "--max-body", type=click.IntRange(min=1), default=128, show_default=True, metavar="MB", help="Largest request."
)
@click.option(
    "--max-bodies",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    metavar="MB",
    help="Of all requests in progress; the next one gets 429.",
)
@click.option(
    "--max-backlog",
    type=FiniteNumber(min=1),
    default=480.0,
    show_default=True,
    metavar="SECONDS",
    help="Estimated computing of all recordings in progress; the next long one gets 429.",
)
@click.option(
    "--max-seconds",
    type=FiniteNumber(min=1, max=3600),
    default=3600.0,
    show_default=True,
    help="Longest recording.",
)
@click.option(
    "--wyoming",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Answer voice assistants, too; without keys and TLS.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.option("--no-keys", is_flag=True, help="Let everybody who reaches the address ask, if there is no API key.")
@on_workspace_or_box
def serve_verb(
    workspace: Workspace,
    box: Path | None,
    sites: tuple[str, ...],
    host: str,
    port: int,
    public_hosts: tuple[str, ...],
    poll: Seconds,
    memory: int | None,
    max_requests: int,
    max_body: int,
    max_bodies: int,
    max_backlog: Seconds,
    max_seconds: Seconds,
    wyoming: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    no_keys: bool,
) -> None:
    """Answer requests with the champions of these sites, or of all, over HTTP; with --box, with the set it pulled.

    One process with one backbone. A new champion is taken into service without a restart.

    \b
    elp serve plant-a
    elp serve plant-a plant-b --host 0.0.0.0 --tls-cert box.pem --tls-key box.key
    elp serve --box /var/lib/elp-box
    """
    from pipelines.local.box_home import box_workspace
    from pipelines.serving.champion_choice import champion_source
    from pipelines.serving.champion_source import RegistryChampions
    from pipelines.serving.http.decode_pool import DecodeLimits
    from pipelines.serving.http.request_limits import RequestBounds
    from pipelines.serving.http.serve_options import ServeOptions
    from pipelines.serving.http.serve_process import serve_until_stopped
    from pipelines.serving.presence import box_presence, registry_presence
    from pipelines.serving.voices.voice_place import box_voices, workspace_voices

    source = champion_source(workspace, box, sites)
    options = ServeOptions(
        host=host,
        port=port,
        public_hosts=public_hosts,
        every=poll,
        memory_bytes=memory * _MB if memory else None,
        decode=DecodeLimits(audio_seconds=max_seconds),
        bounds=RequestBounds(requests=max_requests, body_bytes=max_body * _MB, all_bodies_bytes=max_bodies * _MB),
        backlog_seconds=max_backlog,
        voices=box_voices(box) if box else workspace_voices(workspace, source.name),
        wyoming=wyoming,
        certificate=tls_cert,
        private_key=tls_key,
        presence=box_presence(box, port) if box else registry_presence(source.name, sites, port),
        log_state=workspace.state,
        settings_now=(lambda: box_workspace(box).settings) if box else None,
    )
    own = secrets.token_hex(32)
    keys = ApiKeyFile(key_file(workspace), own=own)
    options.require_safe(keys, unlocked=no_keys)
    if isinstance(source, RegistryChampions):
        source.require_sites()
    recorded = recorded_server(
        workspace.state,
        options.address,
        key=own,
        source=source.name,
        settings=settings_digest(workspace.root),
        certificate=str(tls_cert.resolve()) if tls_cert else "",
        sites=sites,
    )
    serve_until_stopped(source, workspace.settings, options, keys, progress, recorded)


@click.group(name="api-keys")
def api_keys() -> None:
    """Make, list and revoke the keys that clients of `elp serve` send.

    They are stored in `.elp/serving/api-keys.json` of the workspace or the box, as digests. A running server reads a
    change at the next request.
    """


@api_keys.command(name="add")
@click.argument("name")
@click.option(
    "--slot",
    "scopes",
    multiple=True,
    metavar="SITE/TASK",
    help="What the key may ask; SITE/*, */TASK and */* are possible, and several.",
)
@click.option(
    "--enrol",
    "enrols",
    multiple=True,
    metavar="SITE/asv",
    help="Where the key may enrol voices; */asv is possible, and several. --slot does not include it.",
)
@on_workspace_or_box
def add_api_key_verb(
    workspace: Workspace, box: Path | None, name: str, scopes: tuple[str, ...], enrols: tuple[str, ...]
) -> None:
    """Make a key for NAME, and print it: it is not shown again."""
    made, text = add_api_key(key_file(workspace), name, scopes, enrols)
    emit({"key": text, **_shown(made)}, lambda _: f"{text}\nthe key of {name} may {_may(made)}; it is not shown again")


@api_keys.command(name="list")
@on_workspace_or_box
def list_api_keys(workspace: Workspace, box: Path | None) -> None:
    """List the keys, without their text."""
    found = read_api_keys(key_file(workspace))
    rows = [(key.id, key.name, _may(key), key.created[:19]) for key in found]
    emit(
        [_shown(key) for key in found],
        lambda _: table(("id", "name", "may", "created"), rows, "there is no API key"),
    )


@api_keys.command(name="revoke")
@click.argument("key")
@on_workspace_or_box
def revoke_api_key_verb(workspace: Workspace, box: Path | None, key: str) -> None:
    """Refuse KEY, a name or an id, from the next request on."""
    found = revoke_api_key(key_file(workspace), key)
    emit(_shown(found), lambda _: f"the key of {found.name} ({found.id}) is refused from now on")


def key_file(workspace: Workspace) -> Path:
    """Return the file of a workspace's API keys."""
    return workspace.state / "serving" / "api-keys.json"


def _shown(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "slots": list(key.slots),
        "enrols": list(key.enrols),
        "created": key.created,
    }


def _may(key: ApiKey) -> str:
    parts = (("ask", key.slots), ("enrol voices in", key.enrols))
    return " and ".join(f"{verb} {', '.join(scopes)}" for verb, scopes in parts if scopes)
