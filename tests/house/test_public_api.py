"""The library's public face: what is exported, mapped and documented; read from the source."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORE = Path(__file__).resolve().parents[2] / "elp_core"
MODULES = sorted(CORE.rglob("*.py"))
PACKAGES = [path for path in MODULES if path.name == "__init__.py" and path.parent != CORE]
HOUSE = {
    node.name for node in ast.parse((CORE / "errors.py").read_text("utf-8")).body if isinstance(node, ast.ClassDef)
}
ARRAYS = re.compile(r"\b(Tensor|NDArray|Waveform|IntArray|FloatArray|BoolArray)\b")
BY_NAME = re.compile(r"(Mapping|dict)\[[\w.]+, [\w.]*(\[[\w.]*\])?\]")
"""Tensors or arrays by name: each has its own shape."""
SHAPE = re.compile(r"\[[^\]]+\]|[Ss]calar")
"""A shape in a docstring, such as [B, F]."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Public:
    """A public function, method or class; `around` is the class it stands in."""

    module: Path
    node: Function | ast.ClassDef
    around: ast.ClassDef | None = None

    @property
    def name(self) -> str:
        inside = f"{self.around.name}." if self.around else ""
        return f"{self.module.relative_to(CORE)}: {inside}{self.node.name}"

    @property
    def text(self) -> str:
        return ast.get_docstring(self.node) or ""


def _public(module: Path, body: list[ast.stmt], around: ast.ClassDef | None = None) -> Iterator[Public]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield Public(module, node, around)
            if isinstance(node, ast.ClassDef):
                yield from _public(module, node.body, node)


def _everything() -> list[Public]:
    return [found for module in MODULES for found in _public(module, ast.parse(module.read_text("utf-8")).body)]


PUBLIC = _everything()


def _raised(node: ast.AST, helpers: dict[str, Function], seen: set[str]) -> set[str]:
    """House errors that the code of `node` raises, itself or by the private functions of its module that it calls."""
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Raise) and part.exc is not None:
            what = part.exc.func if isinstance(part.exc, ast.Call) else part.exc
            found |= {ast.unparse(what)} & HOUSE
        if isinstance(part, ast.Call):
            called = ast.unparse(part.func).removeprefix("self.").removeprefix("cls.")
            if called in helpers and called not in seen:
                found |= _raised(helpers[called], helpers, seen | {called})
    return found


def _own_errors(public: Public) -> set[str]:
    tree = ast.parse(public.module.read_text("utf-8"))
    helpers = {n.name: n for n in ast.walk(tree) if isinstance(n, Function) and n.name.startswith("_")}
    if isinstance(public.node, ast.ClassDef):
        making = [n for n in public.node.body if isinstance(n, Function) and n.name in ("__init__", "__post_init__")]
        return set().union(*(_raised(n, helpers, set()) for n in making))
    return _raised(public.node, helpers, set())


def _documented(text: str) -> list[str]:
    """Names under Raises."""
    section = re.search(r"^Raises:\n((?:[ ]{4,}.*\n?|\n)*)", text, re.MULTILINE)
    lists = re.findall(r"^ {4}([\w.]+(?:, [\w.]+)*):", section[1], re.MULTILINE) if section else []
    return [name for names in lists for name in names.split(", ")]


def test_a_package_exports_exactly_what_it_takes_from_its_modules() -> None:
    faults = {}
    for package in PACKAGES:
        name = ".".join(package.relative_to(CORE.parent).parent.parts)
        module = importlib.import_module(name)
        exported = list(getattr(module, "__all__", []))
        missing = [item for item in exported if not hasattr(module, item)]
        if sorted(exported) != sorted(_taken(package, name)) or missing:
            faults[name] = sorted(set(exported) ^ _taken(package, name)) or missing or "a name is exported twice"
    assert faults == {}


def _taken(package: Path, name: str) -> set[str]:
    """Names that a package's `__init__` defines or imports from its own modules."""
    tree = ast.parse(package.read_text("utf-8"))
    imports = [n for n in tree.body if isinstance(n, ast.ImportFrom) and (n.module or "").startswith(f"{name}.")]
    taken = {alias.asname or alias.name for node in imports for alias in node.names}
    taken |= {found.node.name for found in _public(package, tree.body)}
    values = [n.target for n in tree.body if isinstance(n, ast.AnnAssign)]
    return taken | {target.id for target in values if isinstance(target, ast.Name)}


def test_the_package_docstring_maps_every_module() -> None:
    text = ast.get_docstring(ast.parse((CORE / "__init__.py").read_text("utf-8"))) or ""
    children = {p.stem for p in CORE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert set(re.findall(r"`elp_core\.(\w+)`", text)) == {name for name in children if not name.startswith("_")}


def test_every_public_name_is_documented() -> None:
    assert [public.name for public in PUBLIC if not public.text] == []


def test_every_error_that_is_raised_is_documented() -> None:
    missing = {public.name: sorted(_own_errors(public) - set(_documented(public.text))) for public in PUBLIC}
    assert {name: errors for name, errors in missing.items() if errors} == {}


def test_documented_errors_exist() -> None:
    known = HOUSE | set(dir(builtins))
    unknown = {public.name: [name for name in _documented(public.text) if name not in known] for public in PUBLIC}
    assert {name: errors for name, errors in unknown.items() if errors} == {}


def _texts(public: Public) -> str:
    """What is said of a function: there, at its class and, for a task's own, in the protocol of tasks."""
    around = (ast.get_docstring(public.around) or "") if public.around else ""
    of_tasks = [p.text for p in PUBLIC if p.name == f"tasks/base.py: Task.{public.node.name}"]
    return "\n".join(
        [public.text, around, *(of_tasks if public.around and public.module.parent.name == "tasks" else [])]
    )


def test_arrays_that_cross_it_have_a_shape_in_words() -> None:
    assert [public.name for public in PUBLIC if _takes_arrays(public) and not SHAPE.search(_texts(public))] == []


def _takes_arrays(public: Public) -> bool:
    if not isinstance(public.node, Function):
        return False
    arguments = [*public.node.args.args, *public.node.args.kwonlyargs]
    annotations = [ast.unparse(a.annotation) for a in arguments if a.annotation]
    annotations += [ast.unparse(public.node.returns)] if public.node.returns else []
    return any(ARRAYS.search(BY_NAME.sub("", annotation)) for annotation in annotations)
