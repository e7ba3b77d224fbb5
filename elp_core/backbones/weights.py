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
from elp_core.errors import BackboneError

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

    Raises:
        BackboneError: There is no such folder, or it cannot be fetched from the hub.
    """
    path = Path(id_or_path).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or id_or_path.startswith((".", "~")) or id_or_path.count("/") != 1:
        raise BackboneError(
            f"{id_or_path} is not a folder; expected a checkpoint folder with config.json, a hub id such as "
            "facebook/hubert-base-ls960, or elp:tiny"
        )
    return _from_hub(id_or_path)


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


def _from_hub(repository: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(repository, name))
        except EntryNotFoundError:  # not in the repository, or offline and not in the cache
            return None

    try:
        config = fetch("config.json")
        if config is None:
            raise BackboneError(
                f"{repository}: no config.json on the hub or in its cache, and no folder of that name; "
                "check the id, or fetch the checkpoint once while online"
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
