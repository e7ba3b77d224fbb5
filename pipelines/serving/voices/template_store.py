"""Where the sealed templates of enrolled voices are stored: the registry of a workspace, or (`box_templates`) a box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipelines.registry.client import voices
from pipelines.registry.slot import Slot
from pipelines.registry.voice_template import VoiceTemplate


class TemplateStore(Protocol):
    """Stores sealed templates, and never has the key that opens them."""

    def templates(self, slot: Slot, person: str = "", *, revoked: bool = False) -> list[VoiceTemplate]:
        """Return the templates of a slot, or of one person in it, oldest first; with `revoked`, those as well."""

    def add(self, template: VoiceTemplate, by: str = "") -> None:
        """Store a template, and record who did it; raises GateRefused with the reason if it is not stored."""

    def revoke(self, voice: str, reason: str, by: str = "") -> int:
        """Delete the sealed bytes of all templates of a voice, and record the reason; return how many there were.

        Raises GateRefused if there are none, or without a reason.
        """


@dataclass(frozen=True)
class RegistryTemplates:
    """The templates on the MLflow server of a workspace, which records changes in its ledger."""

    mlflow_uri: str

    def templates(self, slot: Slot, person: str = "", *, revoked: bool = False) -> list[VoiceTemplate]:
        """Return the templates of a slot, or of one person in it, oldest first; errors are those of `server_api`."""
        return voices.list_templates(self.mlflow_uri, slot, person, revoked)

    def add(self, template: VoiceTemplate, by: str = "") -> None:
        """Send a sealed template."""
        voices.send_template(self.mlflow_uri, template, by)

    def revoke(self, voice: str, reason: str, by: str = "") -> int:
        """Revoke a voice on the server."""
        return voices.revoke_voice_on_server(self.mlflow_uri, voice, reason, by)
