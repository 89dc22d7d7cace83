from pathlib import Path

import pytest
from click.testing import CliRunner

from services.standalone import cli


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, list(arguments))
    return result.exit_code, result.output


def test_help_says_how_to_start_write_and_query() -> None:
    code, text = run("--help")
    assert code == 0
    for word in ("standalone", "compactor", "rondel standalone --data-dir", "/api/v1/write", "Grafana"):
        assert word in text


@pytest.mark.parametrize(
    ("role", "options"),
    [
        ("standalone", ["--config", "--data-dir", "--http-listen", "--objstore", "--instance-id"]),
        ("standalone", ["--grpc-listen", "--etcd", "--zone"]),
        ("compactor", ["--config", "--http-listen", "--objstore"]),
        ("distributor", ["--config", "--data-dir", "--http-listen", "--etcd", "--instance-id", "--zone"]),
        ("distributor", ["--advertise", "--workers"]),
    ],
)
def test_help_of_a_role_lists_its_options(role: str, options: list[str]) -> None:
    code, text = run(role, "--help")
    assert code == 0
    assert all(option in text for option in options)


def test_the_version_is_one_line() -> None:
    code, text = run("--version")
    assert code == 0
    assert text.startswith("rondel ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["standalone", "--http-listen", "nowhere"], "http.listen: want host:port, not 'nowhere'"),
        (["standalone", "--objstore", "ftp://x/y"], "objstore: scheme 'ftp'"),
        (["compactor"], "objstore: name the object store"),
        (["distributor"], "etcd.endpoints: name the members of etcd"),
        (["distributor", "--etcd", "127.0.0.1:1", "--http-listen", "x"], "http.listen: want host:port"),
        (["standalone", "--config", "absent.yaml"], "absent.yaml: No such file or directory"),
    ],
)
def test_wrong_configuration_is_one_line_and_exit_2(
    arguments: list[str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: object,
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr("sys.argv", ["rondel", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"rondel: {line}")
    assert err.count("\n") == 1


def test_options_of_a_cluster_are_taken_by_a_standalone_server_which_says_that_they_do_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("rondel.runtime.process.run", lambda _: 0)
    monkeypatch.chdir(tmp_path)
    code, text = run("standalone", "--zone", "a", "--etcd", "127.0.0.1:2379")
    assert code == 0
    assert "--zone has no effect here" in text
    assert "--etcd has no effect here" in text
    assert "--grpc-listen" not in text
