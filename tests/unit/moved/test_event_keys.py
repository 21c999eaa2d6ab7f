"""Keys of events: what is signed by one of them, and what a file of them may hold."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from app.errors import StartError
from app.moved.event_keys import EventKeys, parse_event_keys
from tests.support.event_signing import KEY, OTHER_KEY, public_line, sign


def der_line(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | RSAPublicKey) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


BODY = b'{"webhookId":"1"}'


class File:
    """A file of keys."""

    def __init__(self, text: str) -> None:
        self.text: str | None = text

    async def read(self) -> str:
        if self.text is None:
            raise StartError("gone")
        return self.text


@pytest.fixture
def file() -> File:
    return File(public_line())


@pytest.fixture
def keys(file: File) -> EventKeys:
    return EventKeys(public_line(), "keys", file.read)


def test_only_the_signature_of_these_very_bytes_counts(keys: EventKeys) -> None:
    right = sign(BODY)
    assert keys.verify(BODY, right)
    assert keys.verify(BODY, right.upper())
    assert not keys.verify(BODY + b" ", right)
    for wrong in (
        "",
        "x",
        "00" * 256,
        right[:-2],
        right + "00",
        f" {right}",
        right + "g",
        sign(BODY, OTHER_KEY),
        "f" * 9000,
    ):
        assert not keys.verify(BODY, wrong)


async def test_keys_are_replaced_while_two_of_them_count(keys: EventKeys, file: File) -> None:
    file.text = f"{public_line()}\n\n{public_line(OTHER_KEY)}\n"
    await keys.check_once()
    assert keys.verify(BODY, sign(BODY))
    assert keys.verify(BODY, sign(BODY, OTHER_KEY))
    file.text = public_line(OTHER_KEY)
    await keys.check_once()
    assert not keys.verify(BODY, sign(BODY, KEY))


@pytest.mark.parametrize("broken", [None, "", "no key", public_line()[:-8]], ids=["gone", "empty", "no key", "cut off"])
async def test_the_last_good_keys_stay_and_the_log_says_so_once(
    keys: EventKeys, file: File, broken: str | None
) -> None:
    file.text = broken
    with capture_logs() as logs:
        await keys.check_once()
        await keys.check_once()
    assert [line["event"] for line in logs] == ["events.keys_refused"]
    assert keys.verify(BODY, sign(BODY))


@pytest.mark.parametrize(
    "line",
    [
        *(
            "\0",
            f"{public_line()}\0",
            public_line()[:64],
            "-----BEGIN PUBLIC KEY-----",
            "# a comment",
            "\u0661",
            "=" * 8,
        ),
        der_line(ec.generate_private_key(ec.SECP256R1()).public_key()),
        der_line(ed25519.Ed25519PrivateKey.generate().public_key()),
        der_line(RSAPublicNumbers(65537, 2**4103 + 1).public_key()),
    ],
    ids=range(10),  # keys are made anew in each process
)
def test_what_is_no_rsa_key_is_refused_by_line(line: str) -> None:
    with pytest.raises(StartError, match="line 2"):
        parse_event_keys(f"{public_line()}\n{line}", "keys")


def test_a_file_of_ten_thousand_keys_is_refused_unread() -> None:
    with pytest.raises(StartError, match="has 10000 keys"):
        parse_event_keys("no key\n" * 10_000, "keys")


def test_weak_keys_and_too_many_are_refused_by_line() -> None:
    weak = public_line(generate_private_key(65537, 1024))
    with pytest.raises(StartError, match="line 2"):
        parse_event_keys(f"{public_line()}\n{weak}", "keys")
    with pytest.raises(StartError, match="has 9 keys"):
        parse_event_keys("\n".join([public_line()] * 9), "keys")
