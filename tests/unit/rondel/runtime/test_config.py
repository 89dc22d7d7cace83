from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from rondel.errors import ConfigError
from rondel.runtime import config
from rondel.runtime.reference import reference


@dataclass(frozen=True, slots=True)
class Wal:
    sync: Literal["always", "never"] = "always"
    segment_bytes_max: Annotated[int, msgspec.Meta(ge=1024)] = 1 << 20
    flush_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Http:
    listen: str = "127.0.0.1:9009"
    secret_key: str = ""


@dataclass(frozen=True, slots=True)
class Root:
    http: Http = field(default_factory=Http)
    wal: Wal = field(default_factory=Wal)
    features: tuple[str, ...] = ()
    objstore: str = ""
    range_ms: int = 7_200_000
    keep_ms: int | None = None
    enabled: bool = False

    def __post_init__(self) -> None:
        if self.range_ms > 100 * 3_600_000:
            raise ValueError(f"range_ms {self.range_ms} is longer than 100h")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rondel.yaml"
    path.write_text(text)
    return path


def test_defaults_hold_where_nothing_is_given() -> None:
    assert config.load(Root, environ={}) == Root()


def test_each_layer_wins_over_the_one_before(tmp_path: Path) -> None:
    file = write(tmp_path, "http: {listen: 'file:1'}\nwal: {sync: never, flush_s: 7}\nobjstore: file\n")
    environ = {"RONDEL_HTTP__LISTEN": "env:1", "RONDEL_OBJSTORE": "env", "OTHER": "x"}
    loaded = config.load(Root, file=file, environ=environ, options={"objstore": "cli", "enabled": None})
    assert loaded.http.listen == "env:1"
    assert loaded.objstore == "cli"
    assert (loaded.wal.sync, loaded.wal.flush_s) == ("never", 7.0)
    assert loaded.enabled is False


def test_units_in_names_read_text_with_units() -> None:
    environ = {
        "RONDEL_WAL__FLUSH_S": "1m500ms",
        "RONDEL_WAL__SEGMENT_BYTES_MAX": "64MiB",
        "RONDEL_RANGE_MS": "10m",
        "RONDEL_KEEP_MS": "1d",
        "RONDEL_FEATURES": "one, two",
        "RONDEL_ENABLED": "true",
    }
    loaded = config.load(Root, environ=environ)
    assert loaded.wal == Wal(flush_s=60.5, segment_bytes_max=64 << 20)
    assert (loaded.range_ms, loaded.keep_ms) == (600_000, 86_400_000)
    assert loaded.features == ("one", "two")
    assert loaded.enabled is True


def test_bare_numbers_count_the_unit_of_the_name() -> None:
    assert config.load(Root, environ={"RONDEL_WAL__FLUSH_S": "0.25"}).wal.flush_s == 0.25


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("htp: {listen: x}", "unknown setting htp.listen; did you mean http.listen?"),
        ("http: {listn: x}", "unknown setting http.listn; did you mean http.listen?"),
        ("wal: {sync: sometimes}", "wal.sync: Invalid enum value 'sometimes' (given: sometimes)"),
        ("wal: {segment_bytes_max: 1}", "wal.segment_bytes_max: Expected `int` >= 1024 (given: 1)"),
        ("range_ms: soon", "range_ms: want a duration such as 30s or 1h30m, not 'soon' (given: soon)"),
        ("enabled: 7", "enabled: Expected `bool`, got `int` (given: 7)"),
        ("http: {secret_key: [s3cret]}", "http.secret_key: Expected `str`, got `array` (given: <secret>)"),
        ("[1, 2]", "want a mapping of settings, not a list"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_file_and_setting(tmp_path: Path, text: str, line: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        config.load(Root, file=path, environ={})
    assert str(error.value) == f"{path}: {line}"


def test_a_file_that_is_not_yaml_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, "http: {listen\n  : [")
    with pytest.raises(ConfigError, match="not YAML") as error:
        config.load(Root, file=path, environ={})
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.yaml: No such file"):
        config.load(Root, file=tmp_path / "absent.yaml", environ={})


def test_an_unknown_variable_is_refused_with_the_nearest_name() -> None:
    line = "environment: unknown setting RONDEL_HTTP_LISTEN; did you mean RONDEL_HTTP__LISTEN?"
    with pytest.raises(ConfigError) as error:
        config.load(Root, environ={"RONDEL_HTTP_LISTEN": "x"})
    assert str(error.value) == line


def test_variables_that_kubernetes_sets_for_a_service_are_not_settings() -> None:
    links = (
        "RONDEL_SERVICE_HOST",
        "RONDEL_SERVICE_PORT_HTTP",
        "RONDEL_PORT",
        "RONDEL_PORT_9009_TCP_ADDR",
        "RONDEL_DISTRIBUTOR_PORT_9009_TCP",
    )
    assert config.load(Root, environ=dict.fromkeys(links, "x")) == Root()


def test_a_check_of_a_component_is_one_line_too() -> None:
    with pytest.raises(ConfigError, match="configuration: range_ms 864000000 is longer than 100h"):
        config.load(Root, environ={"RONDEL_RANGE_MS": "10d"})


def test_people_see_no_secrets() -> None:
    root = Root(http=Http(secret_key="s3cret"), objstore="s3://id:pass@bucket/x?key=abc&region=eu")
    seen = config.masked(root)
    assert seen["http"]["secret_key"] == "<secret>"
    assert seen["objstore"] == "s3://<secret>@bucket/x?key=<secret>&region=eu"
    assert seen["wal"]["sync"] == "always"
    assert config.masked(Root())["http"]["secret_key"] == ""


# --- tables -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Own:
    """What one team has otherwise; what is not given is as for all."""

    wait_ms: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """How long it waits."""
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.features == ("none",):
            raise ValueError("features: none is none")


@dataclass(frozen=True, slots=True)
class Team:
    """One team."""

    own: Own = field(default_factory=Own)


@dataclass(frozen=True, slots=True)
class Rooted:
    """All."""

    teams: Mapping[str, Team] = field(default_factory=dict)
    """Teams by name."""


def test_a_table_has_sections_under_names_that_the_file_chooses(tmp_path: Path) -> None:
    file = write(
        tmp_path, "teams:\n  a.b: {own: {wait_ms: 2m, features: [x]}}\n  7: {own: {features: 'x, y'}}\n  c:\n"
    )
    loaded = config.load(Rooted, file=file, environ={})
    assert loaded.teams == {
        "a.b": Team(Own(120_000, ("x",))),
        "7": Team(Own(None, ("x", "y"))),
        "c": Team(),
    }
    assert config.masked(loaded) == {
        "teams": {
            "a.b": {"own": {"wait_ms": 120_000, "features": ["x"]}},
            "7": {"own": {"features": ["x", "y"]}},
            "c": {},
        }
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("teams: 5", "teams: want a mapping of sections (given: 5)"),
        ("teams: {a: 5}", "teams.a: want a mapping of settings (given: 5)"),
        ("teams: {a: {own: {wait: 5}}}", "teams.a: unknown setting own.wait; did you mean own.wait_ms?"),
        ("teams: {a: {own: {wait_ms: -1}}}", "teams.a: own.wait_ms: "),
        ("teams: {a: {own: {features: [none]}}}", "teams.a: own: features: none is none"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_file_section_and_setting(
    tmp_path: Path, text: str, message: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.load(Rooted, file=file, environ={})
    assert f"{file}: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_cannot_be_given_by_a_variable() -> None:
    with pytest.raises(ConfigError, match="environment: teams: want a mapping of sections"):
        config.load(Rooted, environ={"RONDEL_TEAMS": "a"})


def test_the_reference_shows_a_table_and_what_its_sections_have() -> None:
    page = reference(Rooted)
    assert "| `teams` | empty | Teams by name. |" in page
    assert "| `teams.NAME.own.wait_ms` | as for all | How long it waits. |" in page
