"""Enrolled voices on the server: their templates are stored as they were sealed, and revoked by deleting the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.registry.signing.canonical_json import utc_now
from pipelines.registry.slot import Slot
from pipelines.registry.voice_template import VoiceTemplate, storing_fault
from pipelines.server.auth.principal import PROMOTE, Caller, authorize
from pipelines.server.refusal import Attempt
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.template_rows import clear_templates, put_template, template_rows
from pipelines.server.storage.version_rows import bundle_of, version_row


def store_template(store: LockedStore, values: Mapping[str, Any], caller: Caller) -> VoiceTemplate:
    """Store a new template: that of a new voice, or of one that is enrolled and renewed for another bundle.

    Raises TemplateError if it is none; a Refusal is recorded in the ledger.
    """
    given = VoiceTemplate.from_json(values)
    slot = Slot.parse(given.slot)
    attempt = Attempt("enrol a voice", slot.model_name, given.version)
    with store.refusing(caller):
        authorize(PROMOTE, attempt)
        with store.locked() as transaction:
            fault = _fault(transaction.session, slot, given)
            if fault:
                raise attempt.refused(fault)
            put_template(transaction.session, given)
            detail = {"voice": given.voice, "consent": given.consent, "fingerprint": given.fingerprint}
            transaction.append(
                "voice enrolled", given.slot, caller, after=given.version, bundle=given.bundle, detail=detail
            )
    return given


def delete_voice(store: LockedStore, voice: str, reason: str, caller: Caller) -> int:
    """Delete the sealed bytes of all templates of a voice; return how many there were."""
    attempt = Attempt("revoke a voice")
    with store.refusing(caller):
        authorize(PROMOTE, attempt)
        if not reason.strip():
            raise attempt.refused("say why the voice is revoked: --reason TEXT")
        with store.locked() as transaction:
            found = [one for one in template_rows(transaction.session, voice=voice) if not one.revoked_at]
            if not found:
                raise attempt.refused(f"there is no enrolled voice {voice[:32]}; list them: elp enrol list SITE/asv")
            clear_templates(transaction.session, voice, utc_now())
            detail = {"voice": voice, "templates": len(found)}
            transaction.append("voice revoked", found[0].slot, caller, reason=reason.strip(), detail=detail)
    return len(found)


def _fault(session: Any, slot: Slot, given: VoiceTemplate) -> str:
    """Return why a template is not stored; empty if it is."""
    if version_row(session, slot.model_name, given.version) is None:
        return f"{slot} v{given.version} is not in the registry; list its versions: elp versions {slot}"
    bundle = bundle_of(session, slot.model_name, given.version)
    if bundle != given.bundle:
        return f"the bundle of {slot} v{given.version} is {bundle}, the template was made with {given.bundle}"
    of_person = template_rows(session, str(slot), given.person)
    return storing_fault(given, of_person, template_rows(session, voice=given.voice))
