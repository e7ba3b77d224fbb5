"""The client of the server's templates of enrolled voices; errors are those of `server_api`."""

from __future__ import annotations

from pipelines.registry.client.server_api import call_server, current_user
from pipelines.registry.slot import Slot
from pipelines.registry.voice_template import VoiceTemplate


def list_templates(uri: str, slot: Slot, person: str = "", revoked: bool = False) -> list[VoiceTemplate]:
    """Return the templates of a slot, or of one person in it, oldest first; with `revoked`, those as well."""
    wanted = {"slot": str(slot)} | ({"person": person} if person else {})
    found = call_server(uri, "GET", "/templates", params=wanted)["templates"]
    templates = [VoiceTemplate.from_json(one) for one in found]
    return [one for one in templates if revoked or not one.revoked_at]


def send_template(uri: str, template: VoiceTemplate, by: str = "") -> None:
    """Store a sealed template."""
    call_server(uri, "POST", "/templates", json={"template": template.to_json(), "by": by or current_user()})


def revoke_voice_on_server(uri: str, voice: str, reason: str, by: str = "") -> int:
    """Delete the sealed bytes of all templates of a voice; return how many there were."""
    body = {"voice": voice, "reason": reason, "by": by or current_user()}
    return int(call_server(uri, "POST", "/templates/revoke", json=body)["templates"])
