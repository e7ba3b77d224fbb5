"""A value set in the text of a YAML file by a change of its own lines alone: all others stay, byte by byte."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.errors import WorkspaceError

_ALIAS = re.compile(r"\s*:\s*(\*[^\s,\]}]+)")


def set_in_yaml(text: str, changes: Sequence[tuple[Sequence[str], Any]], source: str) -> str:
    """Return the text of a mapping with values set at paths of keys.

    The text is read again and compared with what was meant; raises WorkspaceError if it is anything else, for example
    because of an anchor or a merge key.
    """
    import yaml

    before = yaml.safe_load(text)
    if before is not None and not isinstance(before, dict):
        raise WorkspaceError(f"{source} is not a mapping; correct it and run the command again")
    meant: dict[str, Any] = copy.deepcopy(before or {})
    try:
        for path, value in changes:
            if _set(meant, path, value):
                text = _spliced(text, path, value)
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        found = None
    if (found or {}) != meant:
        named = "; ".join(f"{'.'.join(path)}: {_flow(value)}" for path, value in changes)
        raise WorkspaceError(f"{source} is written in a way that cannot be changed safely; set by hand: {named}")
    return text


def _set(content: dict[str, Any], path: Sequence[str], value: Any) -> bool:
    """Set a value in a mapping of mappings; return whether it was another one."""
    for key in path[:-1]:
        if content.get(key) is None:
            content[key] = {}
        content = content[key]
        if not isinstance(content, dict):
            raise ValueError(key)
    if path[-1] in content and content[path[-1]] == value:
        return False
    content[path[-1]] = value
    return True


def _spliced(text: str, path: Sequence[str], value: Any) -> str:
    import yaml

    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None or _is_null(node):
        return _with_lines(text, len(text), _lines(path, value, 0, _newline(text)))
    key: Any = None
    for depth, name in enumerate(path):
        if key is not None and _is_null(node):
            return _replaced(text, key, node, _nested(path[depth:], value))
        if not isinstance(node, yaml.MappingNode):
            raise ValueError(name)
        found = [(own, inner) for own, inner in node.value if own.value == name]
        if not found:
            return _inserted(text, node, path[depth:], value)
        key, node = found[-1]
    return _replaced(text, key, node, value)


def _replaced(text: str, key: Any, node: Any, value: Any) -> str:
    """Return the text with another value of a key."""
    after_key = key.end_mark.index
    start, end = node.start_mark.index, _end(text, node)
    if start < after_key:
        # the value is an alias: its node is that of the anchor
        alias = _ALIAS.match(text, after_key)
        if not alias:
            raise ValueError(key.value)
        start, end = alias.span(1)
    colon = text.index(":", after_key) + 1
    if not text[colon:start].strip():
        # a block begins on a line of its own; in its place is a value on the line of the key
        return f"{text[:colon]} {_flow(value)}{text[max(end, colon) :]}"
    return text[:start] + _flow(value) + text[end:]


def _inserted(text: str, node: Any, path: Sequence[str], value: Any) -> str:
    """Return the text with another key in a mapping, after its last one."""
    end = _end(text, node)
    if not node.flow_style:
        lines = _lines(path, value, node.value[0][0].start_mark.column, _newline(text))
        line_end = text.find("\n", end)
        return _with_lines(text, len(text) if line_end < 0 else line_end + 1, lines)
    entry = f"{_flow(path[0])}: {_flow(_nested(path[1:], value))}"
    last = max((_end(text, part) for pair in node.value for part in pair), default=0)
    if last:
        return f"{text[:last]}, {entry}{text[last:]}"
    return f"{text[: end - 1]}{entry}{text[end - 1 :]}"


def _with_lines(text: str, place: int, lines: str) -> str:
    before = text[:place]
    return before + (_newline(text) if before and not before.endswith("\n") else "") + lines + text[place:]


def _lines(path: Sequence[str], value: Any, indent: int, newline: str) -> str:
    """Return the lines of a value below its keys."""
    outer = "".join(f"{' ' * (indent + 2 * depth)}{_flow(name)}:{newline}" for depth, name in enumerate(path[:-1]))
    return f"{outer}{' ' * (indent + 2 * (len(path) - 1))}{_flow(path[-1])}: {_flow(value)}{newline}"


def _end(text: str, node: Any) -> int:
    """Return where the text of a node ends; the parser counts the comments and empty lines after a block, too."""
    end: int = node.end_mark.index
    if isinstance(node.value, list) and not node.flow_style and node.value:
        parts = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        end = max(_end(text, part) for part in parts)
    return len(text[:end].rstrip())


def _is_null(node: Any) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _nested(path: Sequence[str], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _flow(value: Any) -> str:
    """Return a value in one line."""
    import yaml

    # in a list, so that a single value has no end of a document
    options: Mapping[str, Any] = {"default_flow_style": True, "sort_keys": False, "allow_unicode": True}
    return str(yaml.safe_dump([value], width=float("inf"), **options)).strip()[1:-1]
