"""The client of the server's routes about a change of the backbone; errors are those of `server_api`."""

from __future__ import annotations

from collections.abc import Collection

from pipelines.registry.backbone_facts import BackboneFacts
from pipelines.registry.client.server_api import call_server


def backbone_facts(uri: str, backbone: str, sites: Collection[str] = ()) -> BackboneFacts:
    """Return the champions of some sites (of all if none is named), and what is known of a backbone, in one request."""
    wanted = {"backbone": backbone, "site": list(sites)}
    return BackboneFacts.from_json(call_server(uri, "GET", "/backbone/facts", params=wanted))
