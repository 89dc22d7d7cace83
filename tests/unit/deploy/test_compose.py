"""`docker-compose.yml`: a valid file whose services find each other."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from compose_spec import PyCompose

ROOT = Path(__file__).resolve().parents[3]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = FILE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("rondel:")}


def checked(tree: dict[str, Any]) -> None:
    """Raises ValueError for what is against the specification of compose files."""
    PyCompose.from_json(json.dumps(tree)).validate()


def names() -> set[str]:
    """By which services find each other."""
    aliases = {
        alias
        for one in SERVICES.values()
        for alias in one.get("networks", {}).get("default", {}).get("aliases", [])
    }
    return SERVICES.keys() | aliases


def test_the_file_is_what_compose_takes() -> None:
    checked(FILE)


@pytest.mark.parametrize(
    ("key", "value"),
    [("imagee", "x"), ("restart", "sometimes"), ("ports", ["x:y:z"]), ("stop_grace_period", "long")],
)
def test_a_mistake_would_be_noticed(key: str, value: Any) -> None:
    tree = copy.deepcopy(FILE)
    tree["services"]["s3"][key] = value
    with pytest.raises(ValueError, match=r"."):
        checked(tree)


def test_services_wait_for_others_that_can_become_healthy() -> None:
    for one in SERVICES.values():
        for needed, how in one.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[needed]


def test_volumes_and_files_are_there() -> None:
    used = [mount.split(":")[0] for one in SERVICES.values() for mount in one.get("volumes", [])]
    assert {name for name in used if not name.startswith(".")} == FILE["volumes"].keys()
    assert all((ROOT / name).exists() for name in used if name.startswith("."))


def test_images_are_pinned() -> None:
    for one in SERVICES.values():
        assert re.fullmatch(r"[\w./-]+:(v?\d+(\.\d+)+|dev)", one["image"])


def test_prometheus_and_grafana_know_everybody() -> None:
    scraped = yaml.safe_load((ROOT / "deploy/compose/prometheus.yml").read_text(encoding="utf-8"))
    targets = {
        target.partition(":")[0]
        for job in scraped["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    assert targets - {"localhost"} <= names()
    assert OURS.keys() <= targets
    [write] = scraped["remote_write"]
    assert urlsplit(write["url"]).hostname in names()
    [source] = yaml.safe_load(
        (ROOT / "deploy/compose/grafana/provisioning/datasources/rondel.yaml").read_text(encoding="utf-8")
    )["datasources"]
    assert urlsplit(source["url"]).hostname in names()


def test_nothing_listens_to_other_machines() -> None:
    published = [port for one in SERVICES.values() for port in one.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
