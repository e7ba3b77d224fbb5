from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from elp_core.task_specs import task_spec
from pipelines.registry.pyfunc.served_files import CODE, fault_of
from tests.support.versions_by_hand import GOLDEN_BUNDLE, MLMODEL


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A logged model's folder with the least that it must have."""
    shutil.copytree(GOLDEN_BUNDLE, tmp_path / "artifacts" / "bundle")
    shutil.copy(CODE, tmp_path)
    (tmp_path / "MLmodel").write_text(MLMODEL)
    return tmp_path


@pytest.mark.parametrize("task", ["asr", "asv", "ser", "sic"])
def test_what_we_log_is_ours_and_says_how_it_is_used(tmp_path: Path, task: str) -> None:
    from mlflow.models import Model

    from pipelines.registry.client.bundle_models import _pack

    shutil.copytree(GOLDEN_BUNDLE, tmp_path / "bundle")
    place, ids = tmp_path / "model", {"model_id": "m-" + "1" * 32, "run_id": "2" * 32}
    _pack(place, tmp_path / "bundle", task_spec(task), location="mlflow-artifacts:/1/models/m-1/artifacts", **ids)
    assert fault_of(place) == ""
    signature = Model.load(place).signature
    assert signature is not None
    assert str(signature.inputs) == "[binary (required)]"
    assert str(signature.outputs) == ("[Array(float) (required)]" if task == "asv" else "[string (required)]")
    assert sum((place / name).stat().st_size for name in ("input_example.json", "serving_input_example.json")) < 30_000


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("adapter.py", "import os", "not the code of any release"),
        ("evil.py", "import os", "is not from this project"),
        ("code/evil.py", "import os", "is not from this project"),
        ("artifacts/evil.py", "import os", "is not from this project"),
        ("artifacts/bundle/deep/evil.py", "import os", "is not from this project"),
        ("MLmodel", "", "cannot be read"),
        ("MLmodel", MLMODEL.replace("/trained/here/adapter.py", "evil.py"), "names other code"),
        ("MLmodel", MLMODEL.replace("mlflow.pyfunc.loaders.code_model", "evil"), "names other code"),
        ("MLmodel", MLMODEL + "    code: code\n", "names other code"),
        ("MLmodel", MLMODEL + "    python_model: model.pkl\n", "names other code"),
        ("MLmodel", MLMODEL + "  sklearn: {pickled_model: model.pkl}\n", "names other code"),
        ("MLmodel", MLMODEL.replace("path: artifacts/bundle", "path: ../other"), "names other code"),
        ("requirements.txt", "evil==1.0", "would be installed"),
        ("requirements.txt", "torch @ http://127.0.0.1/torch.whl", "would be installed"),
        ("requirements.txt", "--index-url http://127.0.0.1\ntorch==2.13.0", "would be installed"),
        ("conda.yaml", "channels: [evil]", "another channel"),
        ("conda.yaml", "dependencies: [{pip: [evil==1.0]}]", "would be installed"),
        ("python_env.yaml", "dependencies: [evil==1.0]", "installs something in addition to"),
        ("python_env.yaml", "build_dependencies: [evil==1.0]", "would be installed"),
        ("MLmodel", "x" * 2**21, "not a plain small file"),
        ("MLmodel", MLMODEL + "saved_input_example_info: {artifact_path: /etc/passwd}", "names another example than"),
        ("MLmodel", MLMODEL + "saved_input_example_info: {serving_input_path: ../x.json}", "names another example"),
        ("MLmodel", MLMODEL + "saved_input_example_info: [1]", "cannot be read"),
        ("input_example.json", "x" * 2**21, "not a plain small file"),
    ],
)
def test_what_we_never_log_is_told(model: Path, name: str, text: str, fault: str) -> None:
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_text(text)
    assert fault in fault_of(model)


@pytest.mark.parametrize("name", ["adapter.py", "MLmodel"])
def test_a_missing_file_is_told(model: Path, name: str) -> None:
    (model / name).unlink()
    assert fault_of(model) == f"{name} is missing"
