"""Configuration: one frozen tree of dataclasses, filled from a file, the environment and the command line.

Each component keeps a frozen dataclass beside it; a process nests them into one root. `load` merges, each
layer over the one before: the defaults of the dataclasses, the YAML file, `RONDEL_...` variables
(`RONDEL_HTTP__LISTEN` is `http.listen`), then the command line. What does not fit is a `ConfigError` that
names the setting and the layer that it came from.

Units come last in names and decide what a text may be: `timeout_s: 2m`, `range_ms: 2h`,
`body_bytes_max: 32MiB`; bare numbers count that unit. A list may be given as text with commas. A setting
of type `Mapping[str, Section]` is a table: sections under names that the file chooses.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from rondel.errors import ConfigError
from rondel.runtime.units import duration_ms, size_bytes

__all__ = [
    "ENVIRONMENT_PREFIX",
    "FILE_VARIABLE",
    "Setting",
    "as_yaml",
    "load",
    "masked",
    "overridden",
    "settings",
    "table_kind",
]

ENVIRONMENT_PREFIX: Final = "RONDEL_"
FILE_VARIABLE: Final = "RONDEL_CONFIG"
"""Names the YAML file where the command line does not."""

_T = TypeVar("_T")

# Kubernetes sets these in every pod beside a Service that is named rondel or rondel-...
_SERVICE_LINK: Final = re.compile(r"RONDEL_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP)\w*)?)")
_SECRET: Final = re.compile(r"(^|_)(password|secret|token|credentials?|key)(_|$)")
_URL_SECRETS: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)|(?<=key=)[^&\s]+|(?<=token=)[^&\s]+")


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of a configuration tree."""

    name: str
    """Dotted, as in messages: `http.listen`."""
    type: Any
    default: Any
    owner: type
    """The dataclass that declares it."""

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return ENVIRONMENT_PREFIX + self.name.upper().replace(".", "__")


def settings(kind: type, prefix: str = "") -> Iterator[Setting]:
    """All settings below a configuration class, in the order of their declaration."""
    types_of = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        declared = types_of[field.name]
        if dataclasses.is_dataclass(declared) and isinstance(declared, type):
            yield from settings(declared, f"{prefix}{field.name}.")
        else:
            yield Setting(prefix + field.name, declared, _default(field), kind)


def load(
    kind: type[_T],
    *,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    options: Mapping[str, Any] | None = None,
) -> _T:
    """The configuration, or `ConfigError` in one line. `options` maps dotted names to command-line values."""
    known = {setting.name: setting for setting in settings(kind)}
    given: dict[str, Any] = {}
    for source, layer in (
        (str(file), _from_file(file, _tables(known.values())) if file else {}),
        ("environment", _from_environment(known.values(), environ)),
        ("command line", {name: value for name, value in (options or {}).items() if value is not None}),
    ):
        for name, value in layer.items():
            given[name] = _convert(_known(known, name, source), value, source)
    return _build(kind, given, "")


def overridden(section: _T, own: Any) -> _T:
    """The section with what is given in `own`, whose fields are some of its own, None where not given."""
    values = {field.name: getattr(own, field.name) for field in dataclasses.fields(own)}
    given = {name: value for name, value in values.items() if value is not None}
    return dataclasses.replace(section, **given)  # type: ignore[type-var]  # a dataclass by contract


def masked(config: Any) -> dict[str, Any]:
    """The tree as plain values for people to see, with secrets replaced."""
    return {
        field.name: _masked_value(field.name, getattr(config, field.name))
        for field in dataclasses.fields(config)
    }


def as_yaml(config: Any) -> str:
    """`masked` as a YAML document."""
    import yaml

    return yaml.safe_dump(masked(config), sort_keys=False)


def _masked_value(name: str, value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return masked(value)
    if _SECRET.search(name) and value:
        return "<secret>"
    if isinstance(value, str):
        return _URL_SECRETS.sub("<secret>", value)
    if isinstance(value, Mapping):
        return {key: _given(masked(section)) for key, section in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _given(tree: dict[str, Any]) -> dict[str, Any]:
    """A section of a table without what is not given in it."""
    kept = {name: _given(value) if isinstance(value, dict) else value for name, value in tree.items()}
    return {name: value for name, value in kept.items() if value not in (None, {})}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _tables(known: typing.Iterable[Setting]) -> frozenset[str]:
    """Names of the settings that are tables."""
    return frozenset(setting.name for setting in known if table_kind(setting.type))


def table_kind(declared: Any) -> type | None:
    """The class of the sections of a table, None for any other type."""
    if typing.get_origin(declared) is not Mapping:
        return None
    kind = typing.get_args(declared)[1]
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


def _from_file(path: Path, tables: frozenset[str]) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        tree = yaml.load(path.read_bytes(), Loader=loader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: want a mapping of settings, not a {type(tree).__name__}")
    return dict(_flat(tree, "", tables))


def _flat(tree: dict[Any, Any], prefix: str, tables: frozenset[str]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and prefix + str(key) not in tables:
            yield from _flat(value, f"{prefix}{key}.", tables)
        elif value is not None:
            yield f"{prefix}{key}", value


def _from_environment(known: typing.Iterable[Setting], environ: Mapping[str, str]) -> dict[str, str]:
    names = {setting.variable: setting.name for setting in known}
    return {
        names.get(variable, variable): value
        for variable, value in environ.items()
        if variable.startswith(ENVIRONMENT_PREFIX)
        and variable != FILE_VARIABLE
        and not _SERVICE_LINK.fullmatch(variable)
    }


def _known(known: Mapping[str, Setting], name: str, source: str) -> Setting:
    if name in known:
        return known[name]
    candidates = [setting.variable for setting in known.values()] if source == "environment" else list(known)
    close = difflib.get_close_matches(name, candidates, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ConfigError(f"{source}: unknown setting {name}{hint}")


def _convert(setting: Setting, value: Any, source: str) -> Any:
    kind = table_kind(setting.type)
    if kind is not None:
        return _table(kind, setting.name, value, source)
    try:
        if isinstance(value, str):
            value = _from_text(setting, value)
        return msgspec.convert(value, setting.type, strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(f"{source}: {setting.name}: {error} (given: {_shown(setting, value)})") from error


def _table(kind: type, name: str, value: Any, source: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: {name}: want a mapping of sections (given: {value})")
    known = {setting.name: setting for setting in settings(kind)}
    table: dict[str, Any] = {}
    for key, tree in value.items():
        place = f"{source}: {name}.{key}"
        if not isinstance(tree, dict | None):
            raise ConfigError(f"{place}: want a mapping of settings (given: {tree})")
        leaves = _flat(tree or {}, "", frozenset())
        given = {leaf: _convert(_known(known, leaf, place), value, place) for leaf, value in leaves}
        try:
            table[str(key)] = _build(kind, given, "")
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
    return table


def _shown(setting: Setting, value: Any) -> Any:
    return _masked_value(setting.name.rpartition(".")[2], value)


def _from_text(setting: Setting, text: str) -> Any:
    """Reads durations, sizes and lists; all other text goes to the type as it is."""
    bare = _bare(setting.type)
    if typing.get_origin(bare) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if bare not in (int, float) or re.fullmatch(r"-?[0-9.]+", text):
        return text
    units = set(setting.name.rpartition(".")[2].split("_"))
    if "bytes" in units:
        return size_bytes(text)
    if "ms" in units:
        return duration_ms(text)
    if "s" in units:
        return duration_ms(text) / 1000
    return text


def _bare(kind: Any) -> Any:
    """The type without `Annotated` and without `| None`."""
    if typing.get_origin(kind) is typing.Annotated:
        return _bare(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [part for part in typing.get_args(kind) if part is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else kind
    return kind


def _build(kind: type[_T], given: Mapping[str, Any], prefix: str) -> _T:
    types_of = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # kind is a dataclass by contract
        name, declared = prefix + field.name, types_of[field.name]
        if dataclasses.is_dataclass(declared) and isinstance(declared, type):
            values[field.name] = _build(declared, given, f"{name}.")
        elif name in given:
            values[field.name] = given[name]
    try:
        return kind(**values)
    except ValueError as error:  # a check between several settings of one component
        raise ConfigError(f"{prefix.rstrip('.') or 'configuration'}: {error}") from error
