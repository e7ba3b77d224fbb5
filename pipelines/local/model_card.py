"""What a checkpoint says about itself: the licence in the front matter of its card, its first name, its revision."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from elp_core.errors import BackboneError

CARD = "README.md"
_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\s*(\r?\n|\Z)", re.DOTALL)
_REVISION = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class ModelCard:
    """The parts of a checkpoint's files that its record starts from; a text is empty if the files do not have it."""

    licence: str = ""
    """As the card spells it, such as ``cc-by-nc-4.0``; ``other`` and the like count as none."""
    name: str = ""
    """Hub id in the configuration: a copy in a folder keeps it."""
    revision: str = ""
    """Commit of the hub, of a checkpoint in the hub's cache."""


def read_card(folder: Path) -> ModelCard:
    """Read the card and the configuration of a checkpoint's folder; raise BackboneError if the card is damaged."""
    try:
        named = json.loads((folder / "config.json").read_text("utf-8")).get("_name_or_path", "")
    except (OSError, ValueError, AttributeError):
        # who loads the backbone reports it
        named = ""
    revision = folder.name if _REVISION.fullmatch(folder.name) and folder.parent.name == "snapshots" else ""
    return ModelCard(_card_licence(folder / CARD), named if isinstance(named, str) else "", revision)


def fetch_card(hub_id: str) -> None:
    """Fetch the card of a hub id into the hub's cache; without one, or if the hub does not answer, nothing happens."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    from elp_core.backbones.weights import hub_answers

    if not hub_answers(hub_id):
        return
    try:
        hf_hub_download(hub_id, CARD)
    except (EntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):
        # the record then needs the licence from its option
        return


def _card_licence(path: Path) -> str:
    import yaml

    if not path.is_file():
        return ""
    try:
        front = _FRONT.match(path.read_text("utf-8"))
        values = yaml.safe_load(front.group(1)) if front else {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BackboneError(f"{path} cannot be read: {str(error).splitlines()[0]}; correct or remove it") from error
    found = values.get("license") if isinstance(values, dict) else None
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    return found if isinstance(found, str) and found.casefold() not in ("other", "unknown") else ""
