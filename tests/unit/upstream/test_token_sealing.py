import pytest

from app.secret import Secret
from app.upstream.token_sealing import Seal, SealBroken, sign

TOKEN = Secret("a-token")


def test_what_was_sealed_is_opened_with_the_same_secret_for_the_same_purpose() -> None:
    token, life_seconds = Seal(Secret("s"), "p").unseal(Seal(Secret("s"), "p").seal(TOKEN, 60.5))
    assert (token.matches(TOKEN), life_seconds) == (True, 60.5)


@pytest.mark.parametrize(("secret", "purpose"), [("other", "p"), ("s", "other")])
def test_another_secret_or_another_purpose_opens_nothing(secret: str, purpose: str) -> None:
    with pytest.raises(SealBroken):
        Seal(Secret(secret), purpose).unseal(Seal(Secret("s"), "p").seal(TOKEN, 60))


def test_no_byte_can_be_changed_added_or_taken_away() -> None:
    seal = Seal(Secret("s"), "p")
    sealed = seal.seal(TOKEN, 60)
    changed = [sealed[:n] + bytes([sealed[n] ^ 1]) + sealed[n + 1 :] for n in range(len(sealed))]
    for broken in [*changed, sealed[:-1], sealed + b"x", b"", sealed[:12]]:
        with pytest.raises(SealBroken):
            seal.unseal(broken)


def test_neither_token_nor_secret_shows_in_what_is_sealed_nor_in_the_name() -> None:
    seal = Seal(Secret("s3cret"), "p")
    first, second = seal.seal(TOKEN, 60), seal.seal(TOKEN, 60)
    assert first != second
    assert b"a-token" not in first
    assert b"s3cret".hex() not in seal.name
    assert seal.name != Seal(Secret("s3cret"), "q").name != Seal(Secret("other"), "q").name


def test_a_signature_is_as_the_document_says() -> None:
    """From RFC 4231, test case 2."""
    assert sign(Secret("Jefe"), "what do ya want for nothing?") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
