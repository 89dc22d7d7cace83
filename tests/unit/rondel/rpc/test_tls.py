"""TLS: who may call whom, and which files are refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rondel.errors import ConfigError, Unavailable
from rondel.rpc.channel import TlsFiles
from rondel.rpc.server import ServerConfig
from tests.support.certificates import Authority
from tests.support.rpc import reading, serving


def config(files: TlsFiles, *, callers: str = "") -> ServerConfig:
    return ServerConfig(
        listen="127.0.0.1:0",
        drain_s=0.2,
        tls_ca_file=callers,
        tls_cert_file=files.cert,
        tls_key_file=files.key,
    )


async def names(endpoint: str, tls: TlsFiles | None) -> list[str]:
    async with reading(endpoint, tls=tls, timeout_s=5) as remote:
        return await asyncio.to_thread(lambda: remote.label_names("a", [], 0, 1))


async def test_both_sides_know_each_other_by_their_certificates(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    server, client = ours.files("ingester"), ours.files("querier")
    async with serving(config=config(server, callers=server.ca)) as served:
        assert await names(served.endpoint, client) == []


@pytest.mark.parametrize("who", ["plain", "no certificate", "another authority's certificate"])
async def test_whoever_has_no_certificate_of_ours_is_refused(tmp_path: Path, who: str) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    server, stranger = ours.files("ingester"), theirs.files("querier")
    callers: dict[str, TlsFiles | None] = {
        "plain": None,
        "no certificate": TlsFiles(ca=server.ca),
        "another authority's certificate": TlsFiles(server.ca, stranger.cert, stranger.key),
    }
    async with serving(config=config(server, callers=server.ca)) as served:
        with pytest.raises(Unavailable):
            await names(served.endpoint, callers[who])


async def test_a_server_of_another_authority_is_not_called(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    async with serving(config=config(theirs.files("ingester"))) as served:
        with pytest.raises(Unavailable):
            await names(served.endpoint, ours.files("querier"))


async def test_a_server_is_known_by_the_name_that_is_asked_for(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    async with serving(config=config(ours.files("ingester"))) as served:
        assert await names(served.endpoint, ours.files("querier", server_name="ingester")) == []
        with pytest.raises(Unavailable):
            await names(served.endpoint, ours.files("querier", server_name="compactor"))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"tls_cert_file": "nowhere", "tls_key_file": "nowhere"}, "cannot read the TLS file nowhere"),
        ({"tls_cert_file": "nowhere"}, "go together"),
        ({"tls_ca_file": "nowhere"}, "over TLS only"),
        ({"calls_max": 0}, "calls_max must be above 0, is 0"),
        ({"listen": "256.0.0.1:1"}, r"cannot listen on 256\.0\.0\.1:1"),
    ],
)
async def test_settings_that_cannot_be_used_are_refused(wrong: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        async with serving(config=ServerConfig(**wrong)):  # type: ignore[arg-type]
            pass


async def test_an_address_that_is_taken_is_refused() -> None:
    async with serving() as served:
        with pytest.raises(ConfigError, match="cannot listen"):
            async with serving(config=ServerConfig(listen=served.endpoint)):
                pass
