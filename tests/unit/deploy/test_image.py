"""The image is made of what is pinned, and is not root."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from tests.support.kustomize import objects, pods

ROOT = Path(__file__).resolve().parents[3]
FILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STEPS = re.findall(r"(?m)^([A-Z]+) (.+)$", FILE.replace("\\\n", " "))


def given(name: str) -> list[str]:
    return [text.strip() for step, text in STEPS if step == name]


def test_base_images_are_pinned_to_the_patch() -> None:
    assert len(given("FROM")) == 3
    for image in given("FROM"):
        assert re.match(r"[a-z]+:\d+\.\d+\.\d+-", image)


def test_compilers_are_new_enough() -> None:
    rust, python, last = [re.findall(r"\d+\.\d+", image)[0] for image in given("FROM")]
    assert python == last
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    crate = tomllib.loads((ROOT / "native/Cargo.toml").read_text(encoding="utf-8"))["package"]
    assert number(python) >= number(project["requires-python"].removeprefix(">="))
    assert number(rust) >= number(crate["rust-version"])


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_packages_come_by_the_lock_file_and_nothing_comes_into_the_last_stage() -> None:
    installs = [text for text in given("RUN") if "pip install" in text]
    assert all("--require-hashes" in text or "--no-index" in text for text in installs)
    last = FILE[FILE.rindex("\nFROM ") :]
    assert not re.search(r"pip install|apt-get|curl|wget|ADD http", last)
    stages = re.findall(r"(?m)^FROM \S+ AS (\w+)$", FILE)
    assert {re.findall(r"--from=(\w+)", text)[0] for text in given("COPY") if "--from" in text} == set(stages)


def test_all_that_the_build_needs_goes_in_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert all((ROOT / path).exists() for path in kept)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = [
        "pyproject.toml",
        project["project"]["readme"],
        project["tool"]["maturin"]["manifest-path"],
        "native/Cargo.lock",
        "native/src",
        "requirements/run.lock",
        *project["tool"]["maturin"]["python-packages"],
    ]
    assert all(any(fnmatch(path, pattern) for pattern in kept) for path in needed)


def test_it_runs_as_the_user_of_the_pods() -> None:
    [user] = given("USER")
    context = [template["spec"]["securityContext"] for _, template in pods(objects(ROOT / "deploy/k8s/base"))]
    assert {f"{one['runAsUser']}:{one['runAsGroup']}" for one in context} == {user}
