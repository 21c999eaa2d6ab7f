from pathlib import Path

import pytest

from app.access.clients_file import read_clients
from app.balances.snapshots import AccountId
from app.errors import StartError
from app.settings.environment import read_settings, unknown_settings

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
