"""Check the files next to a bundle in the registry: only our code and lists of packages may be there.

`mlflow.pyfunc.load_model` runs the code that `MLmodel` names, and `mlflow models serve` installs the packages of the
lists. The digest of a bundle covers neither, so both must be what `pipelines.registry.client.bundle_models` writes.
"""

import hashlib
import posixpath
import re
from pathlib import Path
from typing import Any

CODE = Path(__file__).with_name("adapter.py")
"""The file that is logged with each bundle (models from code)."""
PACKAGES = frozenset({"elp-foundry", "torch", "torchaudio", "transformers", "safetensors"})
"""Packages that a served bundle needs."""
KNOWN_CODES = frozenset(
    {
        "8de3309ff7cb2fae1cee52241826d96e54d056694a4ce56973bd5ca0dfec5f38",
        "6536d1758010c06132895b7e67413f722b560258a04bd07b6414eddd8353e664",
        "c578cf486c5fb8453e97ed1db61b9638e820c7f7fe1991c8540fc41d6a002c9d",
        "0a170d43566f2044e3255f6ac345fd97b5d138318521099a6727a0fb813f81ad",
    }
)
"""SHA-256 (hex) of `adapter.py` in each release, with the present one."""

BUNDLE = "artifacts/bundle"
MODEL, REQUIREMENTS, CONDA, VIRTUALENV = "MLmodel", "requirements.txt", "conda.yaml", "python_env.yaml"
_EXAMPLES = {"artifact_path": "input_example.json", "serving_input_path": "serving_input_example.json"}
"""Files of the example of an input (JSON), by the key that names them in ``MLmodel``."""
_LARGEST = 2**20
"""Limit of each of these files in bytes; they have a few kB."""
_LOADERS = frozenset({"mlflow.pyfunc.loaders.code_model", "mlflow.pyfunc.model"})
_FLAVOR = frozenset(
    {
        *("artifacts", "cloudpickle_version", "code", "config", "env", "loader_module"),
        *("model_code_path", "python_version", "streamable"),
    }
)
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(==|<=)[0-9A-Za-z.!+_-]+")
_BUILDERS = frozenset({"pip", "setuptools", "wheel"})


def fault_of(folder: Path) -> str:
    """Return in a few words what is wrong with a logged model's folder, but for its bundle; empty if nothing is."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    beside = {name for name in found if posixpath.dirname(name) != BUNDLE}
    strange = sorted(beside - {MODEL, CODE.name, REQUIREMENTS, CONDA, VIRTUALENV, *_EXAMPLES.values()})
    if strange:
        return f"{strange[0][:80]} is next to the bundle and is not from this project"
    texts = {}
    for name in sorted(beside):
        place = folder / name
        # a link can lead to another file when the model is served
        if place.is_symlink() or place.stat().st_size > _LARGEST:
            return f"{name} is not a plain small file"
        texts[name] = place.read_bytes()
    missing = sorted({MODEL, CODE.name} - set(texts))
    if missing:
        return f"{missing[0]} is missing"
    if hashlib.sha256(texts[CODE.name]).hexdigest() not in KNOWN_CODES:
        return f"{CODE.name}, which runs for serving, is not the code of any release"
    try:
        return _model(texts[MODEL]) or _lists(texts)
    except Exception as error:
        # a file that this project did not write can have any content, and fail in any way
        return f"{MODEL} or a list of packages cannot be read ({type(error).__name__})"


def _model(text: bytes) -> str:
    import yaml

    described = yaml.safe_load(text)
    flavors, example = described["flavors"], described.get("saved_input_example_info") or {}
    flavor = flavors["python_function"]
    # MLflow reads the example when it loads the model, from any path that is named
    if any(example.get(key, path) != path for key, path in _EXAMPLES.items()):
        return f"{MODEL} names another example than {' and '.join(_EXAMPLES.values())}"
    code = posixpath.basename(flavor["model_code_path"])
    right = (
        set(flavors) == {"python_function"}
        and set(flavor) <= _FLAVOR
        and flavor["loader_module"] in _LOADERS
        and code == CODE.name
        and not flavor.get("code")
        and not flavor.get("config")
        and {name: one["path"] for name, one in flavor["artifacts"].items()} == {"bundle": BUNDLE}
    )
    return "" if right else f"{MODEL} names other code than {CODE.name} and the bundle"


def _lists(texts: dict[str, bytes]) -> str:
    import yaml

    wanted = texts.get(REQUIREMENTS, b"").decode().split("\n")
    conda: Any = yaml.safe_load(texts.get(CONDA, b"{}")) or {}
    virtualenv: Any = yaml.safe_load(texts.get(VIRTUALENV, b"{}")) or {}
    for entry in conda.get("dependencies", []):
        # conda writes python=3.11.7 for pip's python==3.11.7
        wanted += entry["pip"] if isinstance(entry, dict) else [re.sub(r"(?<![=<])=(?!=)", "==", str(entry))]
    if conda.get("channels", ["conda-forge"]) != ["conda-forge"]:
        return f"{CONDA} names another channel than conda-forge"
    if virtualenv.get("dependencies", []) not in ([], [f"-r {REQUIREMENTS}"]):
        return f"{VIRTUALENV} installs something in addition to {REQUIREMENTS}"
    wanted += virtualenv.get("build_dependencies", [])
    for line in filter(None, (str(line).strip() for line in wanted)):
        match = _PINNED.fullmatch(line)
        if match is None or match["name"] not in PACKAGES | _BUILDERS | {"mlflow", "python"}:
            return f"{line[:80]!r} would be installed for serving"
    return ""
