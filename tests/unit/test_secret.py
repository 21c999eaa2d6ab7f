import copy
import pickle
from typing import Any

import msgspec
import pytest

from app.secret import Secret
from app.telemetry.logs import STANDARD_ERROR, LogFormat, _renderer


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


def _crash_over(secret: str) -> BaseException:
    """Give an exception in whose frame a secret is a local variable."""
    opened = {"token": secret}
    try:
        opened["none"]
    except KeyError as error:
        return error
    raise AssertionError("there is none")


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_logged_crash_does_not_show_local_variables(log_format: LogFormat) -> None:
    event: Any = {"event": "x", "exc_info": _crash_over(f"s3cret-{2**10}")}
    for process in _renderer(log_format, STANDARD_ERROR):
        event = process(None, "error", event)
    assert "KeyError" in str(event)
    assert "s3cret-1024" not in str(event)
