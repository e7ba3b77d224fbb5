"""Read a checkpoint's tensors: safetensors or PyTorch ``.bin``, whole or sharded, from a folder or the hub."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from elp_core.backbones.families import FAMILIES, PARTS
from elp_core.checkpoint_folders import is_hub_id, is_owner_folder, local_folder
from elp_core.errors import BackboneError

HUB_SECONDS = 5.0
"""How long the hub may take to answer at first."""
PROCESSOR_FILE, PREPROCESSOR_FILE = "processor_config.json", "preprocessor_config.json"
"""The files that describe what happens to a waveform before the network."""
_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# checkpoints that older releases of torch wrote have the first spelling
_NORM_SPELLINGS = {
    ".conv.weight_g": ".conv.parametrizations.weight.original0",
    ".conv.weight_v": ".conv.parametrizations.weight.original1",
}


def find_folder(id_or_path: str) -> Path:
    """Return the folder of a checkpoint: a local one, or that of a hub id in the hub's cache, fetched if needed.

    A relative path is one in the workspace, or else in the current folder. For a name whose first part is a folder
    there, nothing is fetched.

    Raises:
        BackboneError: There is no such folder, or it cannot be fetched from the hub.
    """
    if folder := local_folder(id_or_path):
        return folder
    found = _from_hub(id_or_path) if is_hub_id(id_or_path) else None
    if found is None:
        raise BackboneError(
            f"{id_or_path} is not a folder; expected a checkpoint folder with config.json, a hub id such as "
            "facebook/hubert-base-ls960, or elp:tiny"
        )
    return found


def hub_answers(repository: str) -> bool:
    """Return whether the hub answers within seconds; its client would try again for 40 s, with a warning each time."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    try:
        get_hf_file_metadata(hf_hub_url(repository, "config.json"), timeout=HUB_SECONDS)
    except HfHubHTTPError:
        # a refusal is an answer, too
        return True
    except Exception:
        # offline mode, no such id, or what the client's HTTP library raises without a network
        return False
    return True


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a checkpoint folder.

    Raises:
        BackboneError: The file is missing or not a JSON object.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BackboneError(f"{path.parent}: {path.name} is missing; expected a checkpoint folder with it") from None
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} cannot be read as JSON: {error}; fetch the checkpoint again") from error
    if not isinstance(values, dict):
        raise BackboneError(f"{path} holds a {type(values).__name__}, expected a JSON object")
    return values


def read_tensors(folder: Path, model_type: str) -> dict[str, torch.Tensor]:
    """Read the backbone's tensors as stored, under the bare model's names; heads and quantisers are left out.

    Raises:
        BackboneError: There are no weights, or they cannot be read.
    """
    stored: dict[str, torch.Tensor] = {}
    for path in _weight_files(folder):
        stored.update(_read(path))
    return canonical(stored, model_type)


def canonical(stored: Mapping[str, torch.Tensor], model_type: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a backbone from `stored`, under the names of the bare model."""
    found = {}
    for name, tensor in stored.items():
        bare = name.removeprefix(f"{FAMILIES[model_type].name}.")
        for old, new in _NORM_SPELLINGS.items():
            bare = bare.replace(old, new)
        if bare.partition(".")[0] in PARTS:
            found[bare] = tensor
    return found


def _weight_files(folder: Path) -> list[Path]:
    for name in _FILES:
        path = folder / name
        if not path.is_file():
            continue
        if not name.endswith(".index.json"):
            return [path]
        shards = read_json(path).get("weight_map")
        # an index of unknown origin must not name files in other folders
        if not isinstance(shards, dict) or not all(isinstance(s, str) and Path(s).name == s for s in shards.values()):
            raise BackboneError(f"{path} names no shards next to it; fetch the checkpoint again")
        return [folder / shard for shard in sorted(set(shards.values()))]
    raise BackboneError(f"{folder}: no weights; expected one of {', '.join(_FILES)}")


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            # a pickle can run code while it is read
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BackboneError(f"{path} is missing; fetch the checkpoint again") from None
    except pickle.UnpicklingError as error:  # torch's message advises to run the code in the file
        raise BackboneError(
            f"{path} is damaged or holds more than tensors, which is never run; "
            "fetch the checkpoint again, as safetensors if it exists"
        ) from error
    except (OSError, SafetensorError, RuntimeError, EOFError) as error:
        raise BackboneError(f"{path} cannot be read: {error}; fetch the checkpoint again") from error
    if not isinstance(tensors, dict):
        raise BackboneError(f"{path} holds a {type(tensors).__name__}, expected tensors by name")
    return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, torch.Tensor)}


def _from_hub(repository: str) -> Path | None:
    """Return the folder of a hub id in the cache, fetched if the hub answers; None for what is a path here."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    as_path = is_owner_folder(repository)
    kept = as_path or not hub_answers(repository)

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(repository, name, local_files_only=kept))
        except EntryNotFoundError:  # not in the repository, or offline and not in the cache
            return None

    try:
        config = fetch("config.json")
        if config is None and as_path:
            return None
        if config is None:
            raise BackboneError(
                f"{repository}: no config.json on the hub or in its cache, and no folder of that name"
                f"{' (the hub does not answer)' if kept else ''}; check the id, or fetch the checkpoint once while "
                "online"
            )
        fetch(PROCESSOR_FILE)
        fetch(PREPROCESSOR_FILE)
        for name in _FILES:
            found = fetch(name)
            if found is not None:  # the first kind that exists, safetensors before PyTorch's
                for shard in _weight_files(config.parent) if name.endswith(".index.json") else ():
                    fetch(shard.name)
                break
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise BackboneError(
            f"{repository} cannot be fetched from the hub: {error}; check the id and the network"
        ) from error
    return config.parent
