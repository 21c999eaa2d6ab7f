"""TLS to the upstream: a private authority, a client certificate, files that change, and what is wrong said to operators."""

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.egress.pool import PoolOptions
from app.egress.trust import Trust, TrustFiles
from app.errors import StartError, Unreachable
from app.files import MAX_FILE_BYTES
from app.secret import Secret
from app.upstream.transport import TOKEN_HEADER, SecretHeader, Transport
from tests.support.certificates import Authority, serving

SHOWN = SecretHeader(TOKEN_HEADER, Secret("canary-token-77aa"))


@asynccontextmanager
async def run_upstream(context: ssl.SSLContext) -> AsyncIterator[str]:
    """Serve one answer a connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def ask(url: str, trust: Trust) -> bytes:
    async with Transport(url, PoolOptions(trust.context, 300, lambda: 0.0, lambda: 0.5)) as transport:
        return (await transport.get("/x", {}, SHOWN)).body


async def test_a_private_authority_is_trusted_where_it_is_named_and_only_there(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with run_upstream(serving(authority.issue("server"))) as url:
        assert await ask(url, Trust(TrustFiles(ca=str(authority.path)))) == b"ok"
        with pytest.raises(Unreachable, match="no secure connection") as caught:
            await ask(url, Trust(TrustFiles()))
    assert caught.value.reason == "its certificate is of an authority that is not trusted"


async def test_a_byte_order_mark_and_comments_in_any_language_hide_no_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "edited.pem").write_text("Főtanúsítvány\n" + authority.path.read_text(), encoding="utf-8")
    (tmp_path / "marked.pem").write_text(authority.path.read_text(), encoding="utf-8-sig")
    async with run_upstream(serving(authority.issue("server"))) as url:
        for name in ("edited.pem", "marked.pem"):
            assert await ask(url, Trust(TrustFiles(ca=str(tmp_path / name)))) == b"ok"


@pytest.mark.parametrize(
    ("address", "days", "reason"),
    [
        ("127.0.0.1", -1, "its certificate has expired"),
        ("127.0.0.2", 1, "its certificate is for another address"),
    ],
)
async def test_operators_read_what_is_wrong_with_a_certificate(
    tmp_path: Path, address: str, days: int, reason: str
) -> None:
    authority = Authority(tmp_path)
    async with run_upstream(serving(authority.issue("server", address=address, days=days))) as url:
        with pytest.raises(Unreachable, match="no secure connection") as caught:
            await ask(url, Trust(TrustFiles(ca=str(authority.path))))
    assert caught.value.reason == reason


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    client = authority.issue("client")
    async with run_upstream(serving(authority.issue("server"), clients_of=authority.path)) as url:
        assert await ask(url, Trust(TrustFiles(ca=str(authority.path), certificate=str(client)))) == b"ok"
        with pytest.raises(Unreachable):
            await ask(url, Trust(TrustFiles(ca=str(authority.path))))


async def test_files_that_change_are_read_again_and_broken_ones_leave_the_last_good_in_force(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old, new = Authority(tmp_path / "old"), Authority(tmp_path)
    used = tmp_path / "used.pem"
    shutil.copy(old.path, used)
    trust = Trust(TrustFiles(ca=str(used)))
    async with run_upstream(serving(new.issue("server"))) as url:
        with pytest.raises(Unreachable):
            await ask(url, trust)
        with capture_logs() as logs:
            used.unlink()
            shutil.copy(new.path, used)
            assert await ask(url, trust) == b"ok"
            used.write_text("no certificate at all, and longer than before")
            assert await ask(url, trust) == b"ok"
            used.unlink()
            assert await ask(url, trust) == b"ok"
    assert [line["event"] for line in logs] == ["trust.renewed", "trust.unusable", "trust.unusable"]


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (TrustFiles(ca="{folder}/none.pem"), "CA_FILE: .*none.pem cannot be used .no such file"),
        (TrustFiles(ca="{folder}"), "CA_FILE"),
        (TrustFiles(ca="{folder}/text.pem"), "CA_FILE"),
        (TrustFiles(ca="{folder}/empty.pem"), "CA_FILE: .*empty"),
        (TrustFiles(ca="{folder}/pipe"), "CA_FILE: .*no regular file"),
        (TrustFiles(ca="{folder}/large.pem"), "CA_FILE: .*larger"),
        (TrustFiles(certificate="{folder}/pipe"), "CERT_FILE: .*no regular file"),
        (
            TrustFiles(certificate="{folder}/client.pem", key="{folder}/pipe"),
            "KEY_FILE: .*pipe cannot.*no regular file",
        ),
        (TrustFiles(certificate="{folder}/client.pem", key="{folder}/none.pem"), "KEY_FILE: .*none.pem"),
        (TrustFiles(certificate="{folder}/none.pem"), "CERT_FILE"),
        (TrustFiles(certificate="{folder}/authority.pem"), "CERT_FILE"),
        (
            TrustFiles(certificate="{folder}/client.pem", key="{folder}/other.pem"),
            "CERT_FILE: .*client.pem with .*other",
        ),
        (TrustFiles(certificate="{folder}/client.pem", key="{folder}/text.pem"), "CERT_FILE"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_setting(tmp_path: Path, files: TrustFiles, named: str) -> None:
    authority = Authority(tmp_path)
    authority.issue("client")
    authority.issue("other")
    (tmp_path / "text.pem").write_text("hello")
    (tmp_path / "empty.pem").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large.pem").write_bytes(authority.path.read_bytes() + b"#" * MAX_FILE_BYTES)
    here = TrustFiles(*(path and path.format(folder=tmp_path) for path in (files.ca, files.certificate, files.key)))
    with pytest.raises(StartError, match=f"(?i)TALLYGATE_UPSTREAM_{named}"):
        Trust(here)
