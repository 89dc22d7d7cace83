"""Every error id that the program gives out is explained in docs/errors.md, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "errors.md"

IN_RUST = re.compile(
    r"\b(?:(?:Error::(?:invalid|limit)|rejections\.add(?:_row)?|reject|refuse|drop_exemplars)\("
    r"|Verdict \{\s*id:)\s*"
    r'"([a-z0-9-]+)"'
)
# Callable -> position of its id, and the id when none is given.
IN_PYTHON: dict[str, tuple[int, str | None]] = {
    "InvalidData": (1, "bad-data"),
    "LimitExceeded": (1, "limit-exceeded"),
    "RateLimited": (1, None),
    "Unauthenticated": (1, None),
    "Unavailable": (1, None),
    "Rejection": (0, None),
    "text_with_id": (1, None),
}


def ids_in_rust() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "native" / "src").rglob("*.rs")):
        code = path.read_text(encoding="utf-8").split("#[cfg(test)]\nmod tests")[0]
        for found in IN_RUST.finditer(code):
            yield found[1], str(path.relative_to(ROOT))


def ids_in_python() -> Iterator[tuple[str, str]]:
    for folder in ("rondel", "services"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for id in ids_in_tree(tree):
                yield id, str(path.relative_to(ROOT))


def ids_in_tree(tree: ast.Module) -> Iterator[str]:
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id not in IN_PYTHON:
            continue
        position, default = IN_PYTHON[node.func.id]
        given = next((word.value for word in node.keywords if word.arg == "id"), None)
        if given is None and len(node.args) > position:
            given = node.args[position]
        if isinstance(given, ast.Constant):
            yield str(given.value)
        elif isinstance(given, ast.Name) and given.id in constants:
            yield str(constants[given.id])
        elif given is None and default is not None and not any(isinstance(a, ast.Starred) for a in node.args):
            yield default


def sections() -> list[str]:
    """Ids that a user may meet."""
    return re.findall(r"^## err-rondel-([a-z0-9-]+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def internal() -> list[str]:
    """Ids that only a bug of ours can cause."""
    return re.findall(
        r"^\| `err-rondel-([a-z0-9-]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )


@cache
def given_out() -> dict[str, str]:
    """id -> a file that gives it out."""
    return dict([*ids_in_rust(), *ids_in_python()])


def test_every_id_is_explained() -> None:
    explained = {*sections(), *internal()}
    missing = {id: where for id, where in given_out().items() if id not in explained}
    assert missing == {}, (
        "give each a section in docs/errors.md, or a row where only our own code can cause it"
    )


def test_every_id_is_explained_once_and_given_out_somewhere() -> None:
    every = sections() + internal()
    assert sorted(every) == sorted(set(every))
    assert set(sections()) - given_out().keys() == set()


def test_every_section_says_what_why_and_what_to_do() -> None:
    parts = re.split(r"^## err-rondel-", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    poor = [
        part.splitlines()[0]
        for part in parts
        if not all(f"**{word}:**" in part for word in ("What", "Why", "Fix"))
    ]
    assert poor == []


def test_ids_are_found_in_every_form_of_call() -> None:
    tree = ast.parse(
        "ID = 'c-d'\nInvalidData('m', id='a-b')\nInvalidData('m', ID)\nInvalidData('m')\n"
        "Rejection('e-f', 'm', 1)\nRejection(*one)\nLimitExceeded(text, 'g-h')\nOther('m', id='i-j')"
    )
    assert list(ids_in_tree(tree)) == ["a-b", "c-d", "bad-data", "e-f", "g-h"]
