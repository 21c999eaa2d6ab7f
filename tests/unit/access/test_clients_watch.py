import pytest
from structlog.testing import capture_logs

from app.access.callers import Caller, Callers, hash_key
from app.access.clients_file import Clients
from app.access.clients_watch import ClientsFileWatcher
from app.errors import StartError, TooFast

OLD = Caller("web", hash_key("old"), "all", rate=2)
BOTH = Caller("web", hash_key("old"), "all", rate=2, other_key_sha256=hash_key("new"))
NEW = Caller("web", hash_key("new"), "all", rate=2)
READINGS = {"old": (OLD,), "both": (BOTH,), "new": (NEW,), "more": (NEW, Caller("app", hash_key("app"), "all"))}


class _File:
    text = "old"

    async def read(self) -> str:
        if self.text == "gone":
            raise StartError("it cannot be read")
        return self.text

    def parse(self, text: str) -> Clients:
        if text not in READINGS:
            raise StartError(f"line 3 of {text}")
        return Clients(READINGS[text])


def _watch() -> tuple[_File, Callers, ClientsFileWatcher]:
    file, callers = _File(), Callers([OLD], workers=1, monotonic=lambda: 0.0)
    return (
        file,
        callers,
        ClientsFileWatcher(
            read=file.read, parse=file.parse, renew=lambda clients: callers.replace_all(clients.callers)
        ),
    )


def _known(callers: Callers, key: str) -> bool:
    return callers.find_known(key) is not None


async def test_a_key_is_replaced_without_a_moment_in_which_neither_is_known() -> None:
    file, callers, watch = _watch()
    seen = []
    for file.text in ("old", "both", "new"):
        await watch.check_once()
        seen.append((_known(callers, "old"), _known(callers, "new")))
    assert seen == [(True, False), (True, True), (False, True)]


async def test_callers_come_and_go_with_the_file() -> None:
    file, callers, watch = _watch()
    for file.text, count in (("more", 2), ("new", 1)):
        await watch.check_once()
        assert (len(callers), _known(callers, "app")) == (count, count == 2)


@pytest.mark.parametrize("broken", ["gone", "broken"])
async def test_a_broken_file_keeps_the_last_good_one_and_is_logged_once_a_change(broken: str) -> None:
    file, callers, watch = _watch()
    with capture_logs() as logs:
        for file.text in ("new", broken, broken, broken, "new", broken):
            await watch.check_once()
            assert _known(callers, "new") or file.text == "old"
            assert watch.is_ok == (file.text == "new")
    events = [line["event"] for line in logs]
    assert events == ["clients.renewed", "clients.refused", "clients.refused"]


async def test_what_a_caller_has_used_up_stays_used_up() -> None:
    file, callers, watch = _watch()
    for file.text in ("old", "both"):
        await watch.check_once()
        callers.admit(await callers.identify("old"))
    file.text = "new"
    await watch.check_once()
    with pytest.raises(TooFast):
        callers.admit(await callers.identify("new"))
