import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

from tiny.settings import RecipeError, read_recipe

ROOT = Path(__file__).resolve().parents[2]


def test_the_published_recipe_is_read_with_three_iterations() -> None:
    recipe = read_recipe(ROOT / "params.yaml")
    assert [i.target_layer > 0 for i in recipe.iterations] == [False, True, True]
    assert recipe.network.conv_stride == (5, 2, 2, 2, 2, 2, 2)


def test_an_unknown_parameter_is_named(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("mask_span", "mask_length")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"pretraining\.training: unknown \['mask_length'\]"):
        read_recipe(tmp_path / "params.yaml")


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("    mask_span: 10\n", "")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"missing 1 required .*'mask_span'"):
        read_recipe(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["", "pretraining: 3", "other: {}"])
def test_a_file_without_recipe_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(RecipeError, match="no recipe in"):
        read_recipe(tmp_path / "params.yaml")


def test_the_recipe_is_in_no_wheel() -> None:
    chosen = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = find_packages(str(ROOT), **chosen)
    assert {name.partition(".")[0] for name in packages} == {"elp_core", "pipelines"}
