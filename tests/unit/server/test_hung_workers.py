"""A worker that shares nothing any more is replaced; one that is slow, new or gone is not."""

from app.server.hung_workers import SILENT_LOOKS, SilenceWatch


def test_a_process_hangs_after_so_many_looks_without_anything_new() -> None:
    watch = SilenceWatch()
    found = [watch.look({1: 5.0}) for _ in range(SILENT_LOOKS + 1)]
    assert found == [[]] * SILENT_LOOKS + [[1]]


def test_one_that_shares_again_is_heard_and_its_neighbour_still_hangs() -> None:
    watch = SilenceWatch()
    for turn in range(3 * SILENT_LOOKS):
        found = watch.look({1: 5.0, 2: float(turn // (SILENT_LOOKS - 1))})
    assert found == [1]


def test_a_machine_that_stood_still_accuses_nobody() -> None:
    watch = SilenceWatch()
    assert watch.look({1: 5.0}) == []
    assert watch.look({1: 5.0}) == []
    assert watch.look({1: 5000.0}) == []


def test_an_id_that_is_gone_and_comes_back_is_judged_afresh() -> None:
    watch = SilenceWatch()
    for _ in range(SILENT_LOOKS):
        watch.look({1: 5.0})
    assert watch.look({}) == []
    assert watch.look({1: 5.0}) == []
