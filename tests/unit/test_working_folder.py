"""The working folder may be gone when the service starts."""

from pathlib import Path

import pytest

from app.cli.serve import check_working_folder, serve
from app.errors import StartError


def test_a_working_folder_that_is_gone_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_working_folder()
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(StartError, match="The working folder cannot be used"):
        serve()
