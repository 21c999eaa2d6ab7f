import copy
import pickle

import msgspec
import pytest

from app.secrecy import Secret


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("s3cret")
    assert {str(secret), repr(secret), f"{secret}", f"{[secret]}".strip("[]")} == {"***"}
    assert secret.reveal() == "s3cret"


def test_a_secret_is_not_serialised() -> None:
    for serialise in (pickle.dumps, copy.copy, msgspec.json.encode, msgspec.to_builtins):
        with pytest.raises(TypeError):
            serialise(Secret("s3cret"))


def test_a_secret_is_not_in_its_dictionary() -> None:
    assert not hasattr(Secret("s3cret"), "__dict__")
