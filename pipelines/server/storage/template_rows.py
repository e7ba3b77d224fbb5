"""Templates of enrolled voices as rows: one for each voice and bundle."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.orm import Session

from elp_core.config import to_dict
from pipelines.registry.voice_template import TemplateQuality, VoiceTemplate, unrenewed
from pipelines.server.ledger import TEMPLATES


def template_rows(
    session: Session | Connection, slot: str = "", person: str = "", voice: str = ""
) -> list[VoiceTemplate]:
    """Return the templates of a slot, of a person in it, or of a voice, oldest first."""
    given = {TEMPLATES.c.slot: slot, TEMPLATES.c.person: person, TEMPLATES.c.voice: voice}
    wanted = [column == value for column, value in given.items() if value]
    order = (TEMPLATES.c.at, TEMPLATES.c.voice, TEMPLATES.c.version)
    return [_template(row) for row in session.execute(select(TEMPLATES).where(*wanted).order_by(*order)).mappings()]


def put_template(session: Session, template: VoiceTemplate) -> None:
    """Add the row of a template."""
    values = to_dict(template)
    session.execute(insert(TEMPLATES).values({**values, "quality": json.dumps(values["quality"])}))


def clear_templates(session: Session, voice: str, at: str) -> None:
    """Delete the sealed bytes of all templates of a voice, and note when that was."""
    session.execute(update(TEMPLATES).where(TEMPLATES.c.voice == voice).values(sealed="", revoked_at=at))


def unrenewed_voices(session: Session | Connection, slot: str, bundle: str) -> int:
    """Return how many enrolled voices of a slot have no template under a bundle."""
    return len(unrenewed(template_rows(session, slot), bundle))


def _template(row: RowMapping) -> VoiceTemplate:
    values: dict[str, Any] = dict(row)
    return VoiceTemplate(**{**values, "quality": TemplateQuality(**json.loads(values["quality"]))})
