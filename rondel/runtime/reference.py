"""The reference of a configuration tree as a page: made from the classes, so that it cannot be wrong.

The text of a setting is the string literal below its field; the text of a section is its class's docstring.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from rondel.runtime.config import Setting, settings, table_kind
from rondel.runtime.units import duration_text, size_text

__all__ = ["names", "reference"]


def reference(kind: type, *, without: frozenset[str] = frozenset()) -> str:
    """Markdown: one table a section, in the order of declaration, but for settings in `without`."""
    lines: list[str] = []
    owner = None
    for setting, name in _rows(kind, ""):
        if name in without:
            continue
        if setting.owner is not owner:
            owner = setting.owner
            lines += ["", *_heading(setting, name), "", "| setting | default | meaning |", "|---|---|---|"]
        text = _texts(setting.owner).get(setting.name.rpartition(".")[2], "")
        if not text and _is_override(setting):
            text = f"As `{name.partition('.NAME.')[2]}`."
        lines.append(f"| `{name}` | {_shown(setting)} | {_cell(text)} |")
    return "\n".join(lines).strip() + "\n"


def names(kind: type) -> frozenset[str]:
    """Of all settings, as `reference` writes them."""
    return frozenset(name for _, name in _rows(kind, ""))


def _rows(kind: type, prefix: str) -> Iterator[tuple[Setting, str]]:
    """Every setting with its whole name; those of a table follow it under `NAME`."""
    for setting in settings(kind):
        yield setting, prefix + setting.name
        section = table_kind(setting.type)
        if section is not None:
            yield from _rows(section, f"{prefix}{setting.name}.NAME.")


def _heading(setting: Setting, name: str) -> Iterator[str]:
    section = name.rpartition(".")[0]
    yield f"## {section or 'General'}"
    yield ""
    yield " ".join((inspect.getdoc(setting.owner) or "").split())


def _texts(owner: type) -> dict[str, str]:
    """The string literal below each field."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    texts: dict[str, str] = {}
    name = ""
    for node in typing.cast(ast.ClassDef, body).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            texts[name] = " ".join(str(node.value.value).split())
            name = ""
    return texts


def _shown(setting: Setting) -> str:
    """The default as somebody would write it."""
    value: Any = setting.default
    units = set(setting.name.rpartition(".")[2].split("_"))
    if isinstance(value, tuple):
        return ", ".join(_quoted(_with_unit(item, units)) for item in value) or "none"
    if value is None and _is_override(setting):
        return "as for all"
    if value in ("", None, {}):
        return "empty"
    return _quoted(_with_unit(value, units))


def _is_override(setting: Setting) -> bool:
    """Whether a value that is not given is taken from the section of the same name for all."""
    return (inspect.getdoc(setting.owner) or "").endswith("as for all.")


def _with_unit(value: Any, units: set[str]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and value:
        if "bytes" in units:
            return size_text(int(value))
        if "ms" in units:
            return duration_text(value)
        if "s" in units:
            return duration_text(value * 1000)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
