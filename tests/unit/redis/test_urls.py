"""Redis URLs: what each says, and what is refused without showing any of it but names of options."""

from pathlib import Path

import pytest

from app.redis.connections import connect
from app.redis.urls import Host, Kind, Login, RedisUrl, read_redis_url

SECRET = "s3cret"


def login(url: RedisUrl) -> tuple[str | None, str | None]:
    return url.login.username, url.login.password


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("redis://a", [("a", 6379)]),
        ("REDIS://a:1", [("a", 1)]),
        ("redis://my_host.local", [("my_host.local", 6379)]),
        ("redis://[::1]", [("::1", 6379)]),
        ("redis://[fe80::1]:7/2", [("fe80::1", 7)]),
        ("redis+cluster://a,[::1],b:7", [("a", 6379), ("::1", 6379), ("b", 7)]),
        ("redis+sentinel://[::1]:1,a,[::2]/name", [("::1", 1), ("a", 26379), ("::2", 26379)]),
    ],
)
def test_hosts_are_names_or_addresses_with_ports(text: str, hosts: list[tuple[str, int]]) -> None:
    assert read_redis_url(text).hosts == tuple(Host(*host) for host in hosts)


@pytest.mark.parametrize(
    ("text", "kind", "primary", "db"),
    [
        ("redis://a", Kind.SERVER, "", 0),
        ("redis://a/", Kind.SERVER, "", 0),
        ("redis://a/3", Kind.SERVER, "", 3),
        ("redis://a?db=3", Kind.SERVER, "", 3),
        ("unix:///a.sock?db=4", Kind.SERVER, "", 4),
        ("redis+sentinel://a/name", Kind.SENTINEL, "name", 0),
        ("redis+sentinel://a/name/", Kind.SENTINEL, "name", 0),
        ("redis+sentinel://a/name/5", Kind.SENTINEL, "name", 5),
        ("redis+sentinel://a/my%2Fname?db=6", Kind.SENTINEL, "my/name", 6),
        ("redis+cluster://a/0", Kind.CLUSTER, "", 0),
        ("redis+cluster://a?db=0", Kind.CLUSTER, "", 0),
    ],
)
def test_the_path_names_the_primary_and_the_database(text: str, kind: Kind, primary: str, db: int) -> None:
    url = read_redis_url(text)
    assert (url.kind, url.primary, url.db) == (kind, primary, db)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://a", (None, None)),
        ("redis://u:p@a", ("u", "p")),
        ("redis://:p@a", (None, "p")),
        ("redis://u%3A:p%40%2F%3F%23@a", ("u:", "p@/?#")),
        ("redis://u:a:b@c@a", ("u", "a:b@c")),
        ("redis://u:[x@a", ("u", "[x")),
        ("redis://a?username=u&password=p%2B+", ("u", "p++")),
        ("unix://u:p@/a.sock", ("u", "p")),
    ],
)
def test_the_login_stands_before_the_host_or_among_the_options(text: str, expected: tuple[str, str]) -> None:
    assert login(read_redis_url(text)) == expected


def test_sentinels_have_a_login_of_their_own() -> None:
    url = read_redis_url("redis+sentinel://u:p@a/name?sentinel_username=s%40&sentinel_password=q%26")
    assert (url.login, url.sentinel_login) == (Login("u", "p"), Login("s@", "q&"))
    assert read_redis_url("redis+sentinel://u:p@a/name").sentinel_login == Login()
    assert "q&" not in repr(url)


@pytest.mark.parametrize("scheme", ["rediss", "rediss+sentinel", "rediss+cluster"])
@pytest.mark.parametrize("prefix", [("ca", "cert", "key"), ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")])
def test_tls_has_files(tmp_path: Path, scheme: str, prefix: tuple[str, str, str]) -> None:
    files = [tmp_path / f"{name} %" for name in ("a", "b", "c")]
    for file in files:
        file.touch()
    options = "&".join(f"{name}={str(file).replace('%', '%25')}" for name, file in zip(prefix, files, strict=True))
    path = "/name" if scheme.endswith("sentinel") else ""
    tls = read_redis_url(f"{scheme}://a{path}?{options}").tls
    assert tls is not None
    assert [tls.ca, tls.cert, tls.key] == list(map(str, files))
    assert read_redis_url(f"{scheme.replace('rediss', 'redis')}://a{path}").tls is None


REFUSED = [
    ("redis://a?max_connections=2", "`max_connections`"),
    ("redis://a?decode_responses=True", "`decode_responses`"),
    ("redis+cluster://a?socket_timeout=1", "`socket_timeout`"),
    ("redis+sentinel://a/n?protocol=3", "`protocol`"),
    ("redis://a?retry_on_timeout=yes", "`retry_on_timeout`"),
    ("redis://a?health_check_interval=1", "`health_check_interval`"),
    ("rediss://a?ssl_cert_reqs=none", "`ssl_cert_reqs`, which is not allowed, .*: leave it out, .* with `ca`"),
    ("rediss://a?ssl_check_hostname=false", "`ssl_check_hostname`, which is not allowed"),
    (f"redis://a?{SECRET}%20=1", "another name"),
    (f"redis://a?sentinel_password={SECRET}", "`sentinel_password`, which wants redis\\+sentinel"),
    ("redis://a?ca=/etc/hosts", "`ca`, which wants rediss"),
    ("unix:///a.sock?key=/etc/hosts", "`key`, which wants rediss"),
    ("rediss://a?cert=/not/there", "`cert` that cannot be read"),
    ("rediss://a?key=/etc/hosts", "`key` without `cert`"),
    (f"redis://u:{SECRET}@a?password={SECRET}", "twice"),
    ("redis://u:p@a?username=u", "twice"),
    ("redis://a?db=1&db=2", "`db` twice"),
    ("redis://a?db=", "`db` without a value"),
    ("redis+cluster://a/1", "a Cluster has only 0"),
    ("redis://a/1?db=1", "more than once"),
    ("redis://a/1/2", "more than once"),
    ("redis://a/x", "no number"),
    ("redis://a/-1", "no number"),
    ("redis+sentinel://a/name/x", "no number"),
    ("unix://", "an absolute path"),
    ("unix://relative/a.sock", "an absolute path"),
    ("redis+sentinel://a", "wants the primary's name"),
    ("redis+sentinel://a/", "wants the primary's name"),
    ("redis://a,b", "several hosts"),
    ("redis://a:0", "a port that is none"),
    ("redis://a:65536", "a port that is none"),
    ("redis://", "names no host"),
    (f"redis://:{SECRET}@", "names no host"),
    ("redis+cluster://a,,b", "names no host"),
    ("redis+cluster://a,b,", "names no host"),
    ("redis://a:port", "names no host"),
    ("redis://[::1", "names no host"),
    ("redis://::1", "names no host"),
    (f"redis://u:{SECRET}/x@a", "names no host"),
    (f"redis://u:{SECRET}#x@a", "as %2F %3F %23"),
    ("", "wants redis://"),
    ("http://a", "wants redis://"),
    ("redis+other://a", "wants redis://"),
    ("unix+cluster:///a", "wants redis://"),
]


@pytest.mark.parametrize(("url", "sentence"), REFUSED)
def test_what_is_not_done_is_refused_by_its_name(url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"the Redis URL .*{sentence}") as refused:
        connect(url, 1)
    assert SECRET not in str(refused.value)


async def test_none_of_our_own_options_can_be_undone() -> None:
    client = connect("redis://a/3?client_name=me", 2)
    options = client.connection_pool.connection_kwargs  # type: ignore[union-attr]
    assert {name: options[name] for name in ("protocol", "socket_timeout", "socket_connect_timeout", "db")} == {
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": 2,
        "db": 3,
    }
    assert options["client_name"] == "me"


@pytest.mark.parametrize("name", ["ca", "cert"])
def test_a_file_of_tls_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("nonsense")
    with pytest.raises(ValueError, match="no certificate or key"):
        connect(f"rediss://a?{name}={tmp_path}/file", 1)
