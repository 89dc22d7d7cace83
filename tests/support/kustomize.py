"""The objects that a kustomization stands for: the part of kustomize that `deploy/k8s` uses.

So that every overlay can be checked as the cluster would get it, on a machine that has no `kubectl`. What is
not known here is an error, never ignored.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Object", "named", "objects", "pods"]

Object = dict[str, Any]

_GENERATED = {"configMapGenerator": "ConfigMap", "secretGenerator": "Secret"}
_KEYS = {"apiVersion", "kind", "namespace", "labels", "resources", "components", "patches", "images"}


def objects(folder: Path) -> list[Object]:
    """Of the kustomization in that folder."""
    return _accumulated(folder, [])


def pods(found: list[Object]) -> list[tuple[Object, Object]]:
    """Each object that makes pods, with the template of those."""
    return [(one, one["spec"]["template"]) for one in found if "template" in one.get("spec", {})]


def named(found: list[Object], kind: str) -> dict[str, Object]:
    """Those of a kind, by name."""
    return {one["metadata"]["name"]: one for one in found if one["kind"] == kind}


def _accumulated(folder: Path, found: list[Object]) -> list[Object]:
    """`found` and what the folder adds; changes it as the folder says."""
    [tree] = _documents(folder / "kustomization.yaml")
    unknown = tree.keys() - _KEYS - _GENERATED.keys()
    if unknown:
        raise ValueError(f"{folder}: {unknown} is not evaluated here")
    is_component = tree["kind"] == "Component"
    own = found if is_component else []
    for name in tree.get("resources", []):
        place = folder / name
        own += _accumulated(place, []) if place.is_dir() else _documents(place)
    for name in tree.get("components", []):
        own = _accumulated(folder / name, own)
    for key, kind in _GENERATED.items():
        for generator in tree.get(key, []):
            _generate(folder, kind, generator, own)
    for patch in tree.get("patches", []):
        _patch(folder, patch, own)
    for one in own:
        _label(one, tree.get("labels", []))
        if tree.get("namespace") and one["kind"] != "Namespace":
            one["metadata"]["namespace"] = tree["namespace"]
    for image in tree.get("images", []):
        _rename(image, own)
    return own


def _documents(path: Path) -> list[Object]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one is not None]


def _generate(folder: Path, kind: str, generator: Object, found: list[Object]) -> None:
    if generator.keys() - {"name", "files", "literals", "behavior"}:
        raise ValueError(f"{folder}: {sorted(generator)}")
    data = {
        Path(name).name: (folder / name).read_text(encoding="utf-8") for name in generator.get("files", [])
    }
    data |= dict(literal.split("=", 1) for literal in generator.get("literals", []))
    field = "data" if kind == "ConfigMap" else "stringData"
    if generator.get("behavior") == "merge":
        [merged] = [one for one in found if _is(one, kind, generator["name"])]
        merged[field] |= data
        return
    found.append({"apiVersion": "v1", "kind": kind, "metadata": {"name": generator["name"]}, field: data})


def _is(one: Object, kind: str, name: str) -> bool:
    return bool(one["kind"] == kind and one["metadata"]["name"] == name)


def _label(one: Object, labels: list[Object]) -> None:
    for pairs in labels:
        if pairs.keys() != {"pairs"}:
            raise ValueError(f"labels: {sorted(pairs)}")
        one["metadata"].setdefault("labels", {}).update(pairs["pairs"])


def _rename(image: Object, found: list[Object]) -> None:
    for _, template in pods(found):
        for container in template["spec"]["containers"]:
            name, _, tag = container["image"].partition(":")
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"


# --- patches: RFC 6902, the three operations in use ---


def _patch(folder: Path, patch: Object, found: list[Object]) -> None:
    [operations] = yaml.safe_load_all((folder / patch["path"]).read_text(encoding="utf-8"))
    chosen = [one for one in found if _matches(one, patch["target"])]
    if not chosen:
        raise ValueError(f"{folder}: {patch['path']} changes nothing")
    for one in chosen:
        for operation in operations:
            _apply(one, copy.deepcopy(operation))


def _matches(one: Object, target: Object) -> bool:
    if target.keys() - {"kind", "name", "labelSelector"}:
        raise ValueError(f"target: {sorted(target)}")
    labels = one["metadata"].get("labels", {})
    return bool(
        re.fullmatch(target.get("kind", ".*"), one["kind"])
        and re.fullmatch(target.get("name", ".*"), one["metadata"]["name"])
        and _selects(target.get("labelSelector", ""), labels)
    )


def _selects(selector: str, labels: dict[str, str]) -> bool:
    if not selector:
        return True
    if among := re.fullmatch(r"(\S+) in \((.*)\)", selector):
        return labels.get(among[1]) in re.split(r",\s*", among[2])
    name, value = selector.split("=")
    return labels.get(name) == value


def _apply(one: Object, operation: Object) -> None:
    *path, last = [part.replace("~1", "/") for part in operation["path"].split("/")[1:]]
    place: Any = one
    for part in path:
        place = place[int(part) if isinstance(place, list) else part]
    key = int(last) if isinstance(place, list) and last != "-" else last
    match operation["op"]:
        case "add" if isinstance(place, list):
            place.insert(len(place) if key == "-" else key, operation["value"])
        case "add":
            place[key] = operation["value"]
        case "replace":
            place[key]  # What is replaced must be there.
            place[key] = operation["value"]
        case "remove":
            del place[key]
        case other:
            raise ValueError(f"operation {other!r} is not evaluated here")
