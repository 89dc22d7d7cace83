"""What the program itself says of its commands: options, settings, paths. Manifests are held against it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click
import pytest

from rondel.runtime import config, health
from services.standalone.cli import app

__all__ = ["PROBES", "given_options", "load_file", "settings_of", "variables_of"]

PROBES = {route.path for route in health.routes(list)}
"""Paths that tell how a process is."""


def given_options(arguments: list[str]) -> tuple[str, dict[str, str]]:
    """The role of a command line, and its options by name. Fails where the program would not take it."""
    role, *rest = arguments
    assert role in app.commands, f"there is no command {role!r}"
    command = app.commands[role]
    try:
        context = command.make_context(role, list(rest), resilient_parsing=False)
    except click.ClickException as error:
        pytest.fail(f"rondel {' '.join(arguments)}: {error.format_message()}")
    return role, {name: str(value) for name, value in context.params.items() if value is not None}


def _tree_of(role: str) -> type:
    kind = importlib.import_module(f"services.{role}.process").Config
    assert isinstance(kind, type)
    return kind


def settings_of(role: str) -> set[str]:
    """Names of what can be set."""
    return {setting.name for setting in config.settings(_tree_of(role))}


def variables_of(role: str) -> set[str]:
    """The same as environment variables."""
    return {setting.variable for setting in config.settings(_tree_of(role))} | {config.FILE_VARIABLE}


def load_file(role: str, path: Path, environ: dict[str, str]) -> Any:
    """A file of settings as that role reads it, with what else it needs."""
    required = {"etcd.endpoints": "etcd:2379", "objstore": "memory://", "instance_id": f"{role}-0"}
    options = {name: value for name, value in required.items() if name in settings_of(role)}
    return config.load(_tree_of(role), file=path, environ=environ, options=options)
