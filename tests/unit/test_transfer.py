"""Both ends of a transfer as plain state: every byte once, in its place, whatever happens on the way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import transfer
from bridge.errors import RemoteError, WireError
from bridge.limits import STANDARD, Limits
from bridge.transfer import (
    MAX_IN_FLIGHT,
    MIN_IN_FLIGHT,
    Download,
    Inbox,
    Outbox,
    Windows,
    cut,
)
from bridge.transfer.inbox import BUFFER_COST, MAX_SMALL_PARTS

KIB = 1024


def make(lengths: list[int]) -> tuple[list[memoryview], list[memoryview]]:
    rng = np.random.default_rng(sum(lengths))
    sources = [rng.integers(0, 256, n, np.uint8).data for n in lengths]
    return sources, [np.zeros(n, np.uint8).data for n in lengths]


LENGTHS = st.lists(
    st.sampled_from([0, 1, 7, 1000, 64 * KIB, 100_001, 300 * KIB]), min_size=1, max_size=8
).filter(lambda lengths: sum(lengths) > 0)


@given(lengths=LENGTHS, data=st.data())
def test_any_order_loss_and_duplication_ends_in_the_exact_bytes(
    lengths: list[int], data: st.DataObject
) -> None:
    sources, places = make(lengths)
    outbox = Outbox()
    token = outbox.keep(sources, held=0, now=0.0)
    download = Download(places)
    asked: list[tuple[int, int]] = []
    late: list[tuple[int, int]] = []
    now = 0.0
    for _ in range(10_000):
        if download.finished:
            break
        now += data.draw(st.sampled_from([1e-5, 1e-3, 0.1]))
        while (window := download.ask(now)) is not None:
            asked.append(window)
        fate = data.draw(st.sampled_from(["land", "land", "land", "lose one", "lose all", "twice"]))
        if not asked and not late:
            continue
        if fate == "lose all":
            late += asked
            download.lose()
            asked.clear()
            continue
        if fate == "lose one" and asked:
            lost = asked.pop(data.draw(st.integers(0, len(asked) - 1)))
            download.lose(lost[0])
            late.append(lost)
            continue
        pool = late if fate == "twice" and late else asked
        if not pool:
            continue
        offset, length = pool.pop(data.draw(st.integers(0, len(pool) - 1)))
        pieces = cut(outbox.window(token, offset, length, now))
        frames = pieces if data.draw(st.booleans()) else [b"".join(pieces)]
        if pool is late and (offset, length) not in asked:
            assert download.place(offset, [len(frame) for frame in frames]) is None
            with pytest.raises(WireError, match="where others or none were asked for"):
                download.copy(offset, frames)
            continue
        if pool is late:
            asked.remove((offset, length))  # the late one is taken for the one that was asked again
        landing = download.place(offset, [len(frame) for frame in frames])
        if landing is None:
            download.copy(offset, frames)
        else:
            for place, frame in zip(landing, frames, strict=True):
                place[:] = frame
        download.land(offset, length, now)
    assert download.finished
    assert [bytes(place) for place in places] == [bytes(source) for source in sources]
    assert download.ask(now) is None


@given(lengths=LENGTHS)
def test_no_byte_is_asked_for_twice_and_no_window_is_too_large(lengths: list[int]) -> None:
    download = Download(make(lengths)[1])
    covered = 0
    while (window := download.ask(0.0)) is not None:
        offset, length = window
        assert offset == covered
        assert 0 < length <= STANDARD.window
        covered += length
        assert download.land(offset, length, 0.001)
    assert covered == sum(lengths)
    assert download.finished


def test_only_what_was_in_flight_is_asked_for_again() -> None:
    download = Download(make([10 * STANDARD.window])[1])
    first = download.ask(0.0)
    second = download.ask(0.0)
    assert first is not None
    assert second is not None
    download.land(*first, 0.1)
    download.lose()
    assert download.ask(0.2) == second
    assert download.retries == 1


def test_after_a_lost_connection_windows_begin_small_again() -> None:
    download = Download(make([50 * STANDARD.window])[1])
    now = 0.0
    while download.limit < STANDARD.window:
        window = download.ask(now)
        assert window is not None
        now += 1e-4
        download.land(*window, now)
    lost = []
    while (window := download.ask(now)) is not None:
        lost.append(window)
    assert max(length for _, length in lost) > transfer.MIN_WINDOW
    assert download.expected_seconds > 0
    download.lose()
    assert download.limit == MIN_IN_FLIGHT
    assert download.expected_seconds == 0
    offset, length = lost[0]
    assert download.ask(now) == (offset, transfer.MIN_WINDOW)
    assert download.ask(now) == (
        offset + transfer.MIN_WINDOW,
        min(transfer.MIN_WINDOW, length - transfer.MIN_WINDOW),
    )
    assert download.retries == len(lost)


def test_in_flight_grows_with_bandwidth_times_delay_and_stays_in_its_budget() -> None:
    def limit_on(rate: float, delay: float) -> int:
        """Play a link that takes `delay` there and back and moves `rate` bytes a second."""
        download = Windows(200 * STANDARD.window)
        now, free_at = 0.0, 0.0
        arrivals: list[tuple[float, int, int]] = []
        while not download.finished:
            while (window := download.ask(now)) is not None:
                free_at = max(free_at, now + delay / 2) + window[1] / rate
                arrivals.append((free_at + delay / 2, *window))
            arrivals.sort()
            now, offset, length = arrivals.pop(0)
            download.land(offset, length, now)
        return download.limit

    fast_and_long = limit_on(125e6, 0.1)
    assert 125e6 * 0.1 <= fast_and_long <= 4 * 125e6 * 0.1
    assert limit_on(1e9, 0.5) <= MAX_IN_FLIGHT
    assert limit_on(64e3, 0.01) <= 2 * MIN_IN_FLIGHT
    assert limit_on(3e9, 0.0001) >= 2 * STANDARD.window


def test_a_part_that_is_not_awaited_has_no_place() -> None:
    download = Download(make([100])[1])
    assert not download.land(0, 100, 0.0)
    assert download.place(0, [100]) is None
    with pytest.raises(WireError, match="none were asked for"):
        download.copy(0, [b"x" * 100])


def test_a_part_of_another_length_is_an_error() -> None:
    download = Download(make([100])[1])
    window = download.ask(0.0)
    assert window == (0, 100)
    assert download.place(0, [99]) is None
    with pytest.raises(WireError, match="99 came"):
        download.land(0, 99, 0.0)
    assert not download.finished


def test_an_empty_answer_is_finished_at_once() -> None:
    assert Download([memoryview(b"")]).finished


def test_windows_are_slices_of_what_is_served_and_many_small_pieces_are_joined() -> None:
    array = np.arange(100_000)
    outbox = Outbox()
    token = outbox.keep([array.data.cast("B")], held=0, now=0.0)
    (piece,) = cut(outbox.window(token, 80, 800, 0.0))
    assert np.shares_memory(np.frombuffer(piece, np.uint8), array)
    token = outbox.keep([bytes([i]) * 10 for i in range(100)], held=0, now=0.0)
    (joined,) = cut(outbox.window(token, 5, 990, 0.0))
    assert joined == b"".join(bytes([i]) * 10 for i in range(100))[5:995]


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 101), (100, 1), (99, 2), (2**62, 1)])
def test_a_window_outside_the_answer_is_refused(offset: int, length: int) -> None:
    outbox = Outbox()
    token = outbox.keep([bytes(100)], held=0, now=0.0)
    with pytest.raises(WireError):
        outbox.window(token, offset, length, 0.0)


def test_a_window_larger_than_the_largest_is_refused() -> None:
    outbox = Outbox()
    token = outbox.keep([bytes(STANDARD.window + 1)], held=0, now=0.0)
    with pytest.raises(WireError, match=str(STANDARD.window)):
        outbox.window(token, 0, STANDARD.window + 1, 0.0)


def test_tokens_cannot_be_guessed_and_end_when_done_or_idle() -> None:
    outbox = Outbox()
    tokens = [outbox.keep([bytes(10)], held=0, now=0.0) for _ in range(3)]
    assert len(set(tokens)) == 3
    assert all(len(token) >= 22 for token in tokens)
    outbox.release(tokens[0])
    outbox.release(tokens[0])
    outbox.window(tokens[1], 0, 10, 50.0)
    outbox.expire(70.0)
    assert len(outbox) == 1
    for gone in (tokens[0], tokens[2], "no such token"):
        with pytest.raises(RemoteError) as failure:
            outbox.window(gone, 0, 1, 70.0)
        assert failure.value.code == "expired"


def test_the_budget_counts_only_what_is_held_and_pushes_out_the_least_recently_used() -> None:
    outbox = Outbox(Limits(held=100))
    served = outbox.keep([bytes(1000)], held=0, now=0.0)
    first = outbox.keep([bytes(60)], held=60, now=1.0)
    second = outbox.keep([bytes(40)], held=40, now=2.0)
    outbox.window(first, 0, 1, 3.0)
    outbox.window(served, 0, 1, 3.0)
    outbox.keep([bytes(40)], held=40, now=4.0)
    assert outbox.held == 100
    outbox.window(first, 0, 1, 5.0)
    with pytest.raises(RemoteError):
        outbox.window(second, 0, 1, 5.0)
    with pytest.raises(RemoteError) as failure:
        outbox.keep([bytes(101)], held=101, now=6.0)
    assert failure.value.code == "too_large"
    assert STANDARD.held >= 2**30


PUT = "a put of some length"


def inbox_of(lengths: list[int], limits: Limits = STANDARD) -> tuple[Inbox, list[memoryview]]:
    """An inbox that waits for buffers of these lengths, and the buffers."""
    inbox, places = Inbox(limits), make(lengths)[1]
    inbox.open(PUT, sum(lengths), lambda: places, "what", 0.0)
    return inbox, places


@given(lengths=LENGTHS, data=st.data())
def test_parts_that_are_put_in_any_order_and_twice_end_in_the_exact_bytes(
    lengths: list[int], data: st.DataObject
) -> None:
    total = sum(lengths)
    sources = make(lengths)[0]
    whole = b"".join(sources)
    inbox, places = inbox_of(lengths)
    cuts = data.draw(st.sets(st.integers(0, total), max_size=10))
    edges = sorted(cuts | set(range(0, total, STANDARD.window)) | {total})
    parts = list(itertools.pairwise(edges))
    again = data.draw(st.lists(st.sampled_from(parts), max_size=5))
    # Shorter ones: nobody said that a second try is cut as the first.
    again = [(a, data.draw(st.integers(a + 1, b))) for a, b in again]
    for a, b in data.draw(st.permutations(parts + again)):
        middle = data.draw(st.integers(a, b))
        assert inbox.write(PUT, a, [whole[a:middle], whole[middle:b]], 0.0) == b - a
    buffers, what = inbox.finish(PUT)
    assert what == "what"
    assert buffers is places
    assert [bytes(place) for place in places] == [bytes(source) for source in sources]
    assert len(inbox) == 0


@given(lengths=LENGTHS, data=st.data())
def test_no_gap_is_taken_for_the_whole(lengths: list[int], data: st.DataObject) -> None:
    total = sum(lengths)
    inbox, _ = inbox_of(lengths)
    gap = data.draw(st.integers(0, total - 1))
    for start, stop in ((0, gap), (gap + 1, total)):
        for offset in range(start, stop, STANDARD.window):
            inbox.write(PUT, offset, [bytes(min(STANDARD.window, stop - offset))], 0.0)
    with pytest.raises(WireError, match=f"the bytes from {gap} on are missing"):
        inbox.finish(PUT)
    inbox.write(PUT, gap, [b"x"], 0.0)
    inbox.finish(PUT)


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 101), (100, 1), (99, 2), (2**62, 1)])
def test_a_part_outside_what_is_put_is_refused(offset: int, length: int) -> None:
    inbox, _ = inbox_of([60, 40])
    with pytest.raises(WireError):
        inbox.write(PUT, offset, [bytes(length)], 0.0)


def test_a_part_larger_than_a_window_is_refused_and_so_are_too_many_small_ones() -> None:
    inbox, _ = inbox_of([2 * STANDARD.window])
    with pytest.raises(WireError, match=str(STANDARD.window)):
        inbox.write(PUT, 0, [bytes(STANDARD.window + 1)], 0.0)
    enough = MAX_SMALL_PARTS + 2 * STANDARD.window // transfer.MIN_WINDOW
    for offset in range(enough + 1):
        inbox.write(PUT, offset, [b"x"], 0.0)
    with pytest.raises(WireError, match="too small"):
        inbox.write(PUT, enough + 1, [b"x"], 0.0)


def test_nothing_is_put_at_once() -> None:
    assert inbox_of([])[0].finish(PUT) == ([], "what")
    assert inbox_of([0, 0])[0].finish(PUT)[1] == "what"


def test_what_was_opened_and_its_reply_lost_may_be_opened_again() -> None:
    inbox, places = inbox_of([100])
    inbox.write(PUT, 0, [b"x" * 100], 0.0)
    inbox.open(PUT, 100, lambda: pytest.fail("it was allocated twice"), "what", 1.0)
    assert inbox.finish(PUT)[0] is places


@pytest.mark.parametrize(("nbytes", "what"), [(100, "something else"), (99, "what")])
def test_a_token_stands_for_one_transfer(nbytes: int, what: str) -> None:
    inbox, _ = inbox_of([100])
    with pytest.raises(RemoteError, match="choose another") as failure:
        inbox.open(PUT, nbytes, lambda: pytest.fail("it was allocated"), what, 0.0)
    assert failure.value.code == "bad_request"


@pytest.mark.parametrize(("nbytes", "code"), [(101, "too_large"), (41, "busy")])
def test_what_has_no_room_is_refused_before_memory_is_taken(nbytes: int, code: str) -> None:
    inbox, _ = inbox_of([60], Limits(held=100))
    with pytest.raises(RemoteError) as failure:
        inbox.open("another token", nbytes, lambda: pytest.fail("it was allocated"), "", 0.0)
    assert failure.value.code == code
    inbox.open("another token", 40, lambda: make([40])[1], "", 0.0)
    inbox.release(PUT)
    inbox.open(PUT, 60, lambda: make([60])[1], "", 0.0)


def test_what_nobody_sends_parts_of_is_forgotten() -> None:
    inbox, _ = inbox_of([100])
    inbox.open("another token", 10, lambda: make([10])[1], "", 0.0)
    inbox.write(PUT, 0, [b"x"], 50.0)
    inbox.expire(transfer.IDLE_SECONDS + 1)
    assert PUT in inbox
    assert len(inbox) == 1
    inbox.expire(transfer.IDLE_SECONDS + 51)
    for ask in (lambda: inbox.write(PUT, 0, [b"x"], 111.0), lambda: inbox.finish(PUT)):
        with pytest.raises(RemoteError) as failure:
            ask()
        assert failure.value.code == "expired"


def opened(inbox: Inbox, token: str, nbytes: int, client: str, now: float = 0.0) -> None:
    inbox.open(token, nbytes, lambda: make([nbytes])[1], "", now, client)


def test_who_announces_most_makes_the_room_for_who_announces_less() -> None:
    inbox = Inbox(Limits(held=100))
    opened(inbox, "all of it", 100, "greedy")
    opened(inbox, "a little", 40, "modest")
    assert "all of it" not in inbox
    assert "a little" in inbox
    with pytest.raises(RemoteError) as failure:
        opened(inbox, "all of it", 100, "greedy")
    assert failure.value.code == "busy"
    assert "a little" in inbox


def test_empty_buffers_count_for_what_they_take_before_they_are_made() -> None:
    made: list[str] = []

    def announce(token: str, count: int) -> None:
        def allocate() -> list[memoryview]:
            made.append(token)
            return []

        inbox.open(token, 0, allocate, "what", 0.0, "a", count=count)

    inbox = Inbox(Limits(held=100 * BUFFER_COST))
    with pytest.raises(RemoteError) as failure:
        announce("too many", 101)
    assert failure.value.code == "too_large"
    announce("most", 60)
    with pytest.raises(RemoteError) as failure:
        announce("more", 60)
    assert failure.value.code == "busy"
    announce("the rest", 40)
    assert made == ["most", "the rest"]


def test_the_upload_goes_that_had_no_new_bytes_for_longest() -> None:
    inbox = Inbox(Limits(held=100))
    for number in range(3):
        opened(inbox, f"a{number}", 30, "a", float(number))
    inbox.write("a0", 0, [b"x"], 5.0)
    opened(inbox, "b", 30, "b", 6.0)
    assert [token in inbox for token in ("a0", "a1", "a2", "b")] == [True, False, True, True]


@pytest.mark.parametrize(
    ("held", "more"),
    [
        ({"a": [50], "b": [50]}, 10),
        ({"a": [34, 33], "b": [33]}, 40),
        ({"b": [100]}, 1),
        ({"a": [20] * 4, "c": [20]}, 85),
    ],
)
def test_nobody_pushes_out_who_has_less_than_he_would_or_what_is_his(
    held: dict[str, list[int]], more: int
) -> None:
    inbox = Inbox(Limits(held=100))
    for client, sizes in held.items():
        for number, nbytes in enumerate(sizes):
            opened(inbox, f"{client}{number}", nbytes, client)
    with pytest.raises(RemoteError) as failure:
        opened(inbox, "more", more, "b")
    assert failure.value.code == "busy"
    assert len(inbox) == sum(map(len, held.values()))


def test_who_sends_the_same_bytes_again_keeps_nothing_alive() -> None:
    inbox, _ = inbox_of([100])
    inbox.write(PUT, 0, [b"xx"], 0.0)
    for again in (b"xx", b"x"):
        inbox.write(PUT, 0, [again], transfer.IDLE_SECONDS - 1)
    inbox.expire(transfer.IDLE_SECONDS + 1)
    assert PUT not in inbox
