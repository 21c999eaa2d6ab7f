"""Temporary folders of killed services are removed, and no other one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.temporary_folders import TemporaryFolder, remove_abandoned_folders

OWNER = """
import sys
from app.temporary_folders import TemporaryFolder
with TemporaryFolder() as folder:
    (folder.path / "some").write_text("content")
    print(folder.path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A folder for temporary ones."""
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def remove(parent: Path) -> int:
    """Remove abandoned folders in a process of its own, whose temporary folder is another one."""
    code = "from app.temporary_folders import remove_abandoned_folders; print(remove_abandoned_folders())"
    return int(run(code, parent).stdout)


def run(code: str, parent: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(parent)},
        text=True,
        capture_output=True,
        check=True,
    )


def own(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """Let another process own a folder."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "TMPDIR": str(parent)},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    return owner, Path(owner.stdout.readline().strip())


def test_a_folder_stays_while_its_owner_lives_and_is_removed_once_that_was_killed(parent: Path) -> None:
    owner, folder = own(parent)
    with owner:
        assert remove(parent) == 0
        assert (folder / "some").read_text() == "content"
        owner.send_signal(signal.SIGKILL)
    assert folder.exists()
    assert remove(parent) == 1
    assert list(parent.iterdir()) == []
    assert remove(parent) == 0


def test_a_folder_is_removed_by_its_owner_at_the_end(parent: Path) -> None:
    owner, folder = own(parent)
    with owner:
        owner.communicate()
    assert not folder.exists()


def test_a_child_of_the_owner_keeps_the_folder(parent: Path) -> None:
    code = OWNER.replace(
        "    sys.stdin.read()", "    import os; os.fork() and os.kill(os.getpid(), 9); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(parent)},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert owner.wait() == -signal.SIGKILL
        assert remove(parent) == 0
        assert (folder / "some").exists()


def test_nothing_else_is_touched(parent: Path) -> None:
    elsewhere = parent.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner.lock").touch()
    (elsewhere / "precious").touch()
    (parent / "tallygate-link").symlink_to(elsewhere)
    (parent / "tallygate-file").touch()
    for name in ("tallygate-no-lock", "tallygate-linked-lock", "tallygate-pipe", "tallygate-links-out", "other-locked"):
        (parent / name).mkdir()
    (parent / "tallygate-linked-lock" / "owner.lock").symlink_to(elsewhere / "owner.lock")
    os.mkfifo(parent / "tallygate-pipe" / "owner.lock")
    (parent / "other-locked" / "owner.lock").touch()
    (parent / "tallygate-links-out" / "owner.lock").touch()
    (parent / "tallygate-links-out" / "out").symlink_to(elsewhere)
    assert remove(parent) == 1
    assert not (parent / "tallygate-links-out").exists()
    assert len(list(parent.iterdir())) == 6
    assert (elsewhere / "precious").exists()


def test_in_this_process_a_folder_is_private() -> None:
    with TemporaryFolder() as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert remove_abandoned_folders() >= 0
        assert folder.path.exists()
    assert not folder.path.exists()
    folder.remove()
