import os
from pathlib import Path

import httpx
import pytest
from yarl import URL

from app.access.clients_file import read_clients
from app.balances.snapshots import AccountId
from app.errors import StartError
from app.files import MAX_FILE_BYTES, read_regular_file
from app.settings.environment import read_settings, read_token_file, unknown_settings

NEEDED = {
    "TALLYGATE_UPSTREAM_URL": "https://api.example.com",
    "TALLYGATE_UPSTREAM_TOKEN": "s3cret",
    "TALLYGATE_CLIENTS_FILE": "clients.toml",
}
CLIENT = f'[[client]]\nname = "web"\nkey_sha256 = "{"a" * 64}"\n'


def test_defaults_are_those_of_the_contract() -> None:
    settings = read_settings(NEEDED)
    upstream, freshness = settings.upstream, settings.freshness
    assert (settings.http.port, settings.process.workers, upstream.timeout_seconds, upstream.rate) == (8080, 1, 5, 10)
    assert (upstream.concurrency, settings.redis.timeout_seconds) == (16, 0.05)
    assert (freshness.fresh_seconds, freshness.stale_while_revalidate_seconds) == (5, 30)
    assert (freshness.stale_if_error_seconds, freshness.absent_seconds) == (600, 10)
    assert not settings.process.plain


@pytest.mark.parametrize(("text", "is_plain"), [("true", True), ("false", False)])
def test_all_that_is_clever_can_be_switched_off(text: str, is_plain: bool) -> None:
    assert read_settings(NEEDED | {"TALLYGATE_PLAIN": text}).process.plain is is_plain


def test_origins_are_read_once() -> None:
    settings = read_settings(NEEDED | {"TALLYGATE_CORS_ORIGINS": "https://a, http://b:8080"})
    assert settings.http.cors_origins == {"https://a", "http://b:8080"}


def test_trusted_proxies_are_networks_and_nobody_by_default() -> None:
    assert read_settings(NEEDED).access.trusted_proxies == ()
    settings = read_settings(NEEDED | {"TALLYGATE_TRUSTED_PROXIES": "10.1.2.0/24, 2001:db8::1"})
    assert settings.access.trusted_proxies == ("10.1.2.0/24", "2001:db8::1/128")


@pytest.mark.parametrize("wrong", ["proxy", "10.1.2.3/24", "10.0.0.0/8,", "all"])
def test_a_trusted_proxy_that_is_no_network_names_the_setting(wrong: str) -> None:
    with pytest.raises(StartError, match="TALLYGATE_TRUSTED_PROXIES wants networks"):
        read_settings(NEEDED | {"TALLYGATE_TRUSTED_PROXIES": wrong})


@pytest.mark.parametrize("missing", NEEDED)
def test_a_missing_setting_names_itself(missing: str) -> None:
    with pytest.raises(StartError, match=missing):
        read_settings({name: value for name, value in NEEDED.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "eighty"),
        ("WORKERS", "0"),
        ("UPSTREAM_RATE", "0"),
        ("UPSTREAM_RATE", "nan"),
        ("UPSTREAM_TIMEOUT_SECONDS", "-1"),
        ("UPSTREAM_TIMEOUT_SECONDS", "inf"),
        ("FRESH_SECONDS", "5s"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("PLAIN", "perhaps"),
        ("UPSTREAM_TOKEN", "two\nlines"),
        ("UPSTREAM_URL", "api.example.com"),
        ("UPSTREAM_URL", "ftp://api.example.com"),
        ("UPSTREAM_URL", "https://user:pass@api.example.com"),
        ("UPSTREAM_URL", "https://api.example.com/v2"),
        ("UPSTREAM_URL", "https://api.example.com:port"),
        ("UPSTREAM_URL", "https://"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://app.example.com, https://user:pass@app.example.com"),
    ],
)
def test_a_wrong_setting_names_itself_in_one_line_without_its_value(name: str, value: str) -> None:
    with pytest.raises(StartError, match=f"TALLYGATE_{name}") as caught:
        read_settings(NEEDED | {f"TALLYGATE_{name}": value})
    assert "\n" not in caught.value.detail
    assert "user:pass" not in caught.value.detail


def test_a_secret_may_come_from_a_file_and_only_from_one_place(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("from-a-file\n")
    others = {name: value for name, value in NEEDED.items() if name != "TALLYGATE_UPSTREAM_TOKEN"}
    given = {"TALLYGATE_UPSTREAM_TOKEN_FILE": str(path)}
    token = read_settings(others | given).upstream.token
    assert token is not None
    assert token.reveal() == "from-a-file"
    with pytest.raises(StartError, match="both set"):
        read_settings(NEEDED | given)
    path.write_text("\n")
    with pytest.raises(StartError, match="empty"):
        read_settings(others | given)
    path.unlink()
    with pytest.raises(StartError, match="TALLYGATE_UPSTREAM_TOKEN_FILE"):
        read_settings(others | given)


KEY = {"TALLYGATE_UPSTREAM_API_KEY": "key"}
SECRET = {"TALLYGATE_UPSTREAM_API_SECRET": "s3cret"}
TOKEN = {"TALLYGATE_UPSTREAM_TOKEN": "s3cret"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "UPSTREAM_TOKEN is not set.*UPSTREAM_TOKEN_FILE.*UPSTREAM_API_KEY with TALLYGATE_UPSTREAM_API_SECRET"),
        (KEY, "UPSTREAM_API_KEY is set, TALLYGATE_UPSTREAM_API_SECRET is not"),
        (SECRET, "UPSTREAM_API_SECRET is set, TALLYGATE_UPSTREAM_API_KEY is not"),
        (TOKEN | KEY, "more than one source"),
        (TOKEN | SECRET, "more than one source"),
        (TOKEN | KEY | SECRET, "more than one source.*_TOKEN_FILE.*_API_KEY with"),
    ],
)
def test_the_token_has_exactly_one_source(given: dict[str, str], said: str) -> None:
    others = {name: value for name, value in NEEDED.items() if name not in TOKEN}
    with pytest.raises(StartError, match=said):
        read_settings(others | given)


def test_the_token_may_be_minted_with_a_key_and_a_secret_out_of_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    others = {name: value for name, value in NEEDED.items() if name not in TOKEN}
    settings = read_settings(others | KEY | {"TALLYGATE_UPSTREAM_API_SECRET_FILE": str(tmp_path / "secret")})
    assert settings.upstream.token is None
    assert settings.upstream.api_secret is not None
    assert settings.upstream.api_secret.reveal() == "s3cret"


@pytest.mark.parametrize(("name", "value"), [("LOG_LEVEL", "INFO"), ("LOG_FORMAT", "Console"), ("AUDIT", "ALL")])
def test_a_choice_may_be_written_in_any_case(name: str, value: str) -> None:
    telemetry, access = (settings := read_settings(NEEDED | {f"TALLYGATE_{name}": value})).telemetry, settings.access
    assert value.lower() in {telemetry.log_level, telemetry.log_format, access.audit}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LOG_LEVEL", "loud", "wants one of debug, info, warning, error"),
        ("LOG_FORMAT", "", "is empty: set it, or leave it out"),
        ("AUDIT", "some", "wants one of none, refused, all"),
        ("MERCHANTS", "1;2", "wants `discover`, or merchant ids separated by commas"),
        ("PLAIN", "perhaps", "wants true or false"),
        ("REDIS_URL", "", "is empty"),
        ("REDIS_URL_FILE", "", "is empty"),
        ("UPSTREAM_TOKEN", " ", "is empty"),
        ("CORS_ORIGINS", "", "is empty"),
        ("METRICS_PORT", "8080", "and TALLYGATE_PORT are both 8080"),
    ],
)
def test_a_wrong_setting_says_in_words_what_it_wants(name: str, value: str, said: str) -> None:
    with pytest.raises(StartError, match=f"TALLYGATE_{name} {said}"):
        read_settings(NEEDED | {f"TALLYGATE_{name}": value})


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "HTTPS://API.Example.com:443/",
        "http://my_service:8080",
        "http://a-b",
        "http://a.example.",
        "http://127.0.0.1:1",
        "http://[::1]:65535",
        "http://xn--mnchen-3ya.example",
        "http://xn--strae-oqa.example",
        f"http://{'a' * 63}.example",
    ],
)
def test_an_origin_that_can_work_is_accepted(url: str) -> None:
    assert read_settings(NEEDED | {"TALLYGATE_UPSTREAM_URL": url}).upstream.url == url
    assert httpx.URL(url).host
    assert URL(url).host


@pytest.mark.parametrize(
    "url",
    [
        " http://a.example",
        "http://a.example ",
        "http://a.example\n",
        "http://a b",
        "\thttp://a",
        "http://a..example",
        "http://.a",
        "http://a..",
        "http://-a.example",
        "http://a-.example",
        "http://xn--a",
        "http://xn--",
        "http://xn--ls8h.example",
        "http://ab--c.example",
        f"http://{'a' * 64}.example",
        f"http://{'.'.join(['a' * 60] * 5)}",
        "http://1.2.3",
        "http://1.2.3.999",
        "http://a.1",
        "http://[::1",
        "http://[1::2::3]",
        "http://a:0",
        "http://a:65536",
        "http://a:",
        "http://a?",
        "http://a#",
        "http://a//",
        "http://a\\b",
        "http://münchen.example",
        "http://@a",
    ],
)
def test_an_origin_that_cannot_work_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(StartError, match="TALLYGATE_UPSTREAM_URL wants an origin"):
        read_settings(NEEDED | {"TALLYGATE_UPSTREAM_URL": url})


@pytest.mark.parametrize("kind", ["fifo", "folder", "huge", "device", "loop", "UTF-16"])
def test_a_file_that_cannot_be_one_is_refused_with_its_setting_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "huge":
            path.write_bytes(b"x" * (MAX_FILE_BYTES + 1))
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case _:
            path.write_text("token", encoding="utf-16")
    for name in ("UPSTREAM_TOKEN_FILE", "REDIS_URL_FILE"):
        given = {key: value for key, value in NEEDED.items() if name != "UPSTREAM_TOKEN_FILE" or "TOKEN" not in key}
        with pytest.raises(StartError, match=f"TALLYGATE_{name}: {path} cannot be read"):
            read_settings(given | {f"TALLYGATE_{name}": str(path)})
    with pytest.raises(StartError, match=f"TALLYGATE_CLIENTS_FILE: {path} cannot be read"):
        read_clients(str(path))


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("from-a-file\n", encoding="utf-8-sig")
    assert read_token_file(str(path)).reveal() == "from-a-file"
    path.write_text(CLIENT, encoding="utf-8-sig")
    assert len(read_clients(str(path)).callers) == 1


def test_a_file_may_be_as_large_as_allowed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * MAX_FILE_BYTES)
    assert len(read_regular_file(tmp_path / "file")) == MAX_FILE_BYTES


def test_secrets_do_not_show_in_the_settings() -> None:
    settings = read_settings(NEEDED | {"TALLYGATE_REDIS_URL": "redis://:s3cret@host"})
    assert "s3cret" not in repr(settings)


def test_unknown_settings_are_logged_with_what_may_be_meant() -> None:
    unknown = unknown_settings(NEEDED | {"TALLYGATE_UPSTEAM_URL": "x", "TALLYGATE_FOO": "x", "OTHER": "x"})
    assert list(unknown) == [("TALLYGATE_FOO", None), ("TALLYGATE_UPSTEAM_URL", "TALLYGATE_UPSTREAM_URL")]


def test_callers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "clients.toml"
    path.write_text(CLIENT + "merchants = [12345, 7]\nportfolio = true\nrate = 50\n")
    (caller,) = read_clients(str(path)).callers
    assert caller.merchants == frozenset({AccountId("12345"), AccountId("7")})
    assert (caller.name, caller.portfolio, caller.rate) == ("web", True, 50)


def test_a_client_may_have_two_keys_and_a_bound_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "clients.toml"
    path.write_text(CLIENT.replace(f'"{"a" * 64}"', f'["{"a" * 64}", "{"b" * 64}"]') + "concurrency = 8\n")
    (caller,) = read_clients(str(path)).callers
    assert (caller.key_hashes, caller.concurrency) == (("a" * 64, "b" * 64), 8)


def test_without_rights_a_caller_may_read_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clients.toml"
    path.write_text(CLIENT)
    (caller,) = read_clients(str(path)).callers
    assert (caller.merchants, caller.portfolio, caller.rate) == (frozenset(), False, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no client"),
        ("[[client]", "not TOML"),
        ("[[client]]\n", "name"),
        (CLIENT.replace("a" * 64, "a" * 63), "key_sha256"),
        (CLIENT + "merchants = [0]", "merchants"),
        (CLIENT + "merchants = [1.5]", "merchants"),
        (CLIENT + 'merchants = "some"', "merchants"),
        (CLIENT + "rate = 0", "rate"),
        (CLIENT + "concurrency = 0", "concurrency"),
        (CLIENT.replace(f'"{"a" * 64}"', str(["a" * 64, "b" * 64, "c" * 64])), "key_sha256"),
        (CLIENT.replace(f'"{"a" * 64}"', str(["a" * 64, "a" * 64])), "same key_sha256"),
        (CLIENT + "portfolo = true", "portfolo"),
        (CLIENT + CLIENT.replace("a" * 64, "b" * 64), "same name"),
        (CLIENT + CLIENT.replace("web", "app"), "same key_sha256"),
    ],
)
def test_a_wrong_clients_file_says_what_is_wrong_and_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "clients.toml"
    path.write_text(text)
    with pytest.raises(StartError, match=said) as caught:
        read_clients(str(path))
    assert str(path) in caught.value.detail
    assert "\n" not in caught.value.detail
