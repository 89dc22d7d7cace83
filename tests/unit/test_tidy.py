"""The rules of the house that a reader notices: sizes, names, docstrings, links, doors."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FOLDERS_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "misc"}
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", ".lock")
CODE = (".py", ".pyi", ".rs", ".sh")
TEXT = (*CODE, ".md", ".toml", ".yaml", ".yml", ".proto", ".test", "", ".txt")
# Written in pieces so that this file does not contain what it looks for.
MACHINE_PATHS = re.compile(
    "|".join(["/" + "work/", "/" + r"root(/|\b)", "/" + r"home/\w+", "/" + "tmp/bash_jobs"])
)


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(path for name in listing.split("\0") if name and (path := ROOT / name).is_file())


def sources(*suffixes: str) -> list[Path]:
    return [path for path in tracked() if path.suffix in suffixes and not path.name.endswith(GENERATED)]


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_files_are_short_enough_to_read() -> None:
    sizes = {where(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources(*CODE)}
    # The stub of one native module is one file, with a section for each of its parts.
    del sizes["rondel/_native.pyi"]
    assert {name: size for name, size in sizes.items() if size > FILE_LINES_MAX} == {}


def test_python_functions_are_short_enough_to_read() -> None:
    long = []
    for path in sources(".py"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{where(path)}:{node.lineno} {node.name} has {lines} lines")
    assert long == []


def test_rust_functions_are_short_enough_to_read() -> None:
    long = []
    for path in sources(".rs"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for start, name, length in rust_functions(lines):
            if length > FUNCTION_LINES_MAX:
                long.append(f"{where(path)}:{start + 1} {name} has {length} lines")
    assert long == []


def rust_functions(lines: list[str]) -> list[tuple[int, str, int]]:
    """(first line, name, lines) of each function; rustfmt closes a body at the indentation of its `fn`."""
    found = []
    for start, line in enumerate(lines):
        head = re.match(r"(\s*)(?:pub(?:\([^)]*\))? )?(?:const |async |unsafe )*fn (\w+)", line)
        if head is None or line.rstrip().endswith(";"):
            continue
        closing = head[1] + "}"
        one_line = line.rstrip().endswith("}")
        end = start if one_line else next((i for i in range(start, len(lines)) if lines[i] == closing), start)
        found.append((start, head[2], end - start + 1))
    return found


def test_every_module_says_what_it_is() -> None:
    modules = [path for path in sources(".py", ".pyi") if not path.name.startswith("test_")]
    silent = [where(path) for path in modules if ast.get_docstring(parsed(path)) is None]
    assert silent == []


def test_every_rust_module_says_what_it_is() -> None:
    silent = [
        where(path) for path in sources(".rs") if not path.read_text(encoding="utf-8").startswith("//!")
    ]
    assert silent == []


def test_folder_names_say_something() -> None:
    folders = {parent for path in tracked() for parent in path.relative_to(ROOT).parents}
    assert sorted(str(folder) for folder in folders if folder.name in FOLDERS_THAT_SAY_NOTHING) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = []
    for path in tracked():
        if path.suffix in TEXT and not path.name.endswith(".lock"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                if MACHINE_PATHS.search(line):
                    found.append(f"{where(path)}:{number} {line.strip()[:80]}")
    assert found == []


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH_IN_CODE = re.compile(r"`((?:docs|rondel|services|native|tests|benchmarks|proto|deploy)/[\w./-]+)`")


def test_links_between_documents_resolve() -> None:
    broken = []
    for path in sources(".md"):
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in LINK.findall(text):
            if "://" in target or target.startswith(("#", "mailto:")):
                continue
            if not (path.parent / target.split("#")[0]).exists():
                broken.append(f"{where(path)} -> {target}")
    assert broken == []


def test_paths_named_in_documents_exist() -> None:
    broken = []
    for path in sources(".md"):
        named = PATH_IN_CODE.findall(path.read_text(encoding="utf-8"))
        broken.extend(f"{where(path)} -> {target}" for target in named if not (ROOT / target).exists())
    assert broken == []


def test_the_native_core_has_one_door_per_package() -> None:
    doors: dict[str, list[str]] = {}
    for path in sources(".py"):
        name = where(path)
        if name.startswith(("rondel/", "services/")) and imports_native(parsed(path)):
            doors.setdefault(str(Path(name).parent), []).append(name)
    # The model's doors are one per noun (labels, write, merge): the modules are the types themselves.
    doors.pop("rondel/model", None)
    assert {package: found for package, found in doors.items() if len(found) > 1} == {}


def imports_native(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if any(name == "rondel._native" or name.startswith("rondel._native.") for name in names):
            return True
    return False


def test_services_are_a_namespace_without_code_of_its_own() -> None:
    assert not (ROOT / "services" / "__init__.py").exists()


@pytest.mark.parametrize("line", ["pub fn f() -> u8 { 1 }", "    fn g(&self);"])
def test_the_rust_function_finder_is_not_fooled_by(line: str) -> None:
    assert all(length == 1 for _, _, length in rust_functions([line, "x", "}"]))
