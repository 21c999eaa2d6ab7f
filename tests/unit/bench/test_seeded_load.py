"""The load of `bench.mixed` is the same for each contender."""

from itertools import islice

from bench.seeded_load import SeededLoad, choose_merchants

POPULAR = range(1, 1_001)


def test_equal_seeds_choose_the_same_merchants_and_each_new_one_once() -> None:
    one, other, third = (list(islice(choose_merchants(seed, POPULAR, 5_000), 20_000)) for seed in (1, 1, 2))
    assert one == other != third
    new = [merchant for merchant in one if merchant >= 5_000]
    assert new == list(range(5_000, 5_000 + len(new)))
    assert 150 < len(new) < 250
    assert one.count(1) > 5 * one.count(20) > 0


def test_an_answer_counts_only_with_a_time_in_it() -> None:
    load = SeededLoad(1, "/%d", {}, iter(POPULAR))
    load.note(b"http/1.1 200 ok", b'{"balances":[{"total":"1764484700.12","free":"1"}]}', 0)
    load.note(b"http/1.1 200 ok", b'{"balances":[{"total":"12345.67890123"}]}', 0)
    load.note(b"http/1.1 503 no", b'{"total":"1764484700.12"}', 0)
    assert (len(load.seen.milliseconds), len(load.seen.ages), load.seen.failed) == (1, 1, 2)
    assert load.next_request().startswith(b"GET /1 HTTP/1.1\r\n")
