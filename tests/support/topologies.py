"""What Redis can be made of: an account that must be used, a Cluster, Sentinels, and TLS in front."""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from msgspec import Struct

from tests.support.gateway import free_port
from tests.support.valkey import Valkey, run_sentinel, run_valkey

USER = "tally:gate"
PASSWORD = "p@ss/word"
LOGIN = "tally%3Agate:p%40ss%2Fword@"

_SLOTS = 16384


async def open_account(server: Valkey) -> None:
    """Let nobody in any more but the user."""
    await server.ask("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all")
    await server.ask("ACL", "SETUSER", "default", "off")
    server.url = f"redis://{LOGIN}{server.address}"


@asynccontextmanager
async def run_node(port: int = 0, **options: object) -> AsyncIterator[Valkey]:
    """Run a node that is to be one of a cluster."""
    own = {"cluster_enabled": "yes", "cluster_port": free_port(), **options}
    async with run_valkey(port or free_port(), **own) as node:
        await open_account(node)
        yield node


async def join(nodes: Sequence[Valkey]) -> None:
    """Make these nodes a cluster of primaries, each with its part of the slots."""
    first, *others = nodes
    for number, node in enumerate(nodes):
        start, stop = (_SLOTS * place // len(nodes) for place in (number, number + 1))
        await node.ask("CLUSTER", "ADDSLOTSRANGE", str(start), str(stop - 1))
    for node in others:
        bus_port = (await node.ask("CONFIG", "GET", "cluster-port"))["cluster-port"]
        await first.ask("CLUSTER", "MEET", "127.0.0.1", str(node.port), bus_port)
    for node in nodes:
        await node.until(lambda node=node: _is_whole(node, len(nodes)))  # type: ignore[misc]


async def _is_whole(node: Valkey, size: int) -> bool:
    """Tell whether a node serves, knows all others, and has a link to and from each: over those goes what is published."""
    info, nodes, links = [await node.ask("CLUSTER", asked) for asked in ("INFO", "NODES", "LINKS")]
    known = [" connected" in line and "handshake" not in line for line in nodes.splitlines()]
    return "cluster_state:ok" in info and known == [True] * size and len(links) == 2 * (size - 1)


class Watched(Struct):
    """A primary, its replica, and the three Sentinels that watch them."""

    primary: Valkey
    replica: Valkey
    sentinels: list[Valkey]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{LOGIN}{','.join(sentinel.address for sentinel in self.sentinels)}/tally"


@asynccontextmanager
async def run_watched() -> AsyncIterator[Watched]:
    """Run them all, each Sentinel knowing the others and the replica."""
    async with AsyncExitStack() as stack:
        primary, replica = [await stack.enter_async_context(_run_replicated()) for _ in range(2)]
        sentinels = [await stack.enter_async_context(run_sentinel(free_port())) for _ in range(3)]
        await replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
        for sentinel in sentinels:
            await _watch(sentinel, primary)
        for sentinel in sentinels:
            await sentinel.until(lambda sentinel=sentinel: _knows_all(sentinel))  # type: ignore[misc]
        yield Watched(primary, replica, sentinels)


@asynccontextmanager
async def _run_replicated() -> AsyncIterator[Valkey]:
    async with run_valkey(free_port(), repl_diskless_sync_delay=0) as server:
        await open_account(server)
        await server.ask("CONFIG", "SET", "masteruser", USER, "masterauth", PASSWORD)
        yield server


async def _watch(sentinel: Valkey, primary: Valkey) -> None:
    await sentinel.ask("SENTINEL", "MONITOR", "tally", "127.0.0.1", str(primary.port), "2")
    for name, value in {
        "auth-user": USER,
        "auth-pass": PASSWORD,
        "down-after-milliseconds": "500",
        "failover-timeout": "1000",
    }.items():
        await sentinel.ask("SENTINEL", "SET", "tally", name, value)


async def _knows_all(sentinel: Valkey) -> bool:
    known = await sentinel.ask("SENTINEL", "MASTER", "tally")
    return bool(known["num-slaves"] == "1" and known["num-other-sentinels"] == "2")


@asynccontextmanager
async def run_tls(*ports: int) -> AsyncIterator[tuple[list[int], Path]]:
    """Let TLS end in front of servers; give the ports to use, and the authority that vouches for 127.0.0.1."""
    with TemporaryDirectory(prefix="tls-") as folder:
        authority = _make_certificate(Path(folder))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority, Path(folder, "key.pem"))
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(_run_proxy(port, context)) for port in ports], authority


@asynccontextmanager
async def _run_proxy(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    carrying: set[asyncio.Task[None] | None] = set()

    async def carry(reader: StreamReader, writer: StreamWriter) -> None:
        carrying.add(task := asyncio.current_task())
        with suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        writer.close()
        carrying.remove(task)

    server = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*(task for task in carrying if task is not None))


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    """Carry bytes until there are no more, and tell the other side so."""
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()


def _make_certificate(folder: Path) -> Path:
    """Make a certificate that is its own authority, with its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tallygate-test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = folder / "certificate.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate
