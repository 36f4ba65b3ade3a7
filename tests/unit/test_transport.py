"""Both ends of a connection: they move frames, keep deadlines, and name what went wrong."""

from __future__ import annotations

import contextlib
import socket
from functools import partial

import pytest
import zmq

from bridge.errors import TransportError, WireError
from bridge.transport import (
    Curve,
    Envelope,
    Gate,
    Link,
    Listener,
    new_key_pair,
    with_default_port,
)
from bridge.transport.link import TRIES, UNREAD

URLS = {
    "tcp": "tcp://127.0.0.1:0",
    "ipv6": "tcp://[::1]:0",
    "ipc": "ipc://{}/socket",
    "inproc": "inproc://test",
}
SECONDS = 5.0


@contextlib.contextmanager
def connected(url="tcp://127.0.0.1:0"):
    """A listener, and a link to it that is open."""
    listener = Listener(url)
    link = Link(listener.url)
    try:
        link.open(SECONDS)
        yield listener, link
    finally:
        link.close()
        with contextlib.suppress(zmq.ZMQError):  # a test closed it
            listener.close(linger=0)


@pytest.fixture
def pair():
    with connected() as pair:
        yield pair


def next_request(listener):
    while (request := listener.receive()) is None:
        listener.wait(SECONDS)
    return request


def receive_all(link):
    while link.receive(SECONDS) is not None:
        pass


def exchange(listener, link, reply, place=None):
    """Have a request answered with `reply`, and return what the link receives."""
    link.send([b"request"])
    envelope, _ = next_request(listener)
    assert listener.send(envelope, reply)
    return link.receive(SECONDS, place)


@pytest.mark.parametrize("transport", URLS)
def test_frames_arrive_as_they_were_sent(transport, tmp_path):
    with connected(URLS[transport].format(tmp_path)) as (listener, link):
        link.send([b"header", b"", bytes(100_000)])
        envelope, frames = next_request(listener)
        assert frames == [b"header", b"", bytes(100_000)]
        listener.send(envelope, [b"reply", memoryview(bytes(200_000))])
        assert link.receive(SECONDS) == [b"reply", bytes(200_000)]


def test_received_buffers_are_writable_and_headers_are_bytes(pair):
    listener, link = pair
    link.send([b"header", b"buffer"])
    envelope, (header, buffer) = next_request(listener)
    assert type(header) is bytes
    assert not buffer.readonly
    listener.send(envelope, [b"header", b"buffer"])
    header, buffer = link.receive(SECONDS)
    assert type(header) is bytes
    assert not buffer.readonly


def test_port_0_is_a_port_in_the_url():
    with connected() as (listener, _):
        host, _, port = listener.url.rpartition(":")
        assert host == "tcp://127.0.0.1"
        assert int(port) > 0


def test_nothing_to_receive_is_none(pair):
    listener, link = pair
    assert listener.receive() is None
    assert link.receive(0) is None
    assert link.receive(0.01) is None


def test_a_wait_ends_when_it_is_woken(pair):
    listener, _ = pair
    listener.wake()
    listener.wait(1000)


def test_waking_a_closed_listener_is_nothing(pair):
    listener, _ = pair
    listener.close()
    listener.wake()


def test_frames_land_where_the_header_says(pair):
    listener, link = pair
    places = [memoryview(bytearray(3)), memoryview(bytearray(0)), memoryview(bytearray(100_000))]
    seen = []

    def place(header):
        seen.append(header)
        return places

    received = exchange(listener, link, [b"header", b"abc", b"", b"x" * 100_000], place)
    assert seen == [b"header"]
    assert received == [b"header", *places]
    assert [bytes(part) for part in places] == [b"abc", b"", b"x" * 100_000]


@pytest.mark.parametrize("buffers", [[b"abcd"], [b"ab"], [], [b"abc", b""]], ids=str)
def test_frames_that_do_not_fit_their_places_are_refused(pair, buffers):
    listener, link = pair
    with pytest.raises(WireError, match="than its header announced"):
        exchange(listener, link, [b"header", *buffers], lambda _: [memoryview(bytearray(3))])


def test_frames_without_a_place_are_received_anywhere(pair):
    listener, link = pair
    assert exchange(listener, link, [b"header", b"abc"], lambda _: None) == [b"header", b"abc"]


def test_a_reply_to_nobody_is_counted(pair):
    listener, _ = pair
    assert not listener.send(Envelope([b"no such peer", b""]), [b"reply"])
    assert listener.undelivered == 1


@pytest.mark.parametrize(
    "frames", [[b"no delimiter"], [b""], [b"a", b"b"], [*[b"label"] * 9, b"", b"header"]], ids=str
)
def test_what_has_no_envelope_is_dropped_and_counted(pair, frames):
    listener, _ = pair
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(listener.url)
        dealer.send_multipart(frames)
        dealer.send_multipart([b"", b"proper"])
        assert next_request(listener)[1] == [b"proper"]
    assert listener.dropped == 1


def test_the_envelope_is_all_labels_up_to_the_delimiter(pair):
    listener, _ = pair
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(listener.url)
        dealer.send_multipart([b"one", b"two", b"", b"header"])
        envelope, frames = next_request(listener)
        assert (envelope.labels[1:], frames) == ([b"one", b"two", b""], [b"header"])
        listener.send(envelope, [b"reply"])
        assert dealer.recv_multipart() == [b"one", b"two", b"", b"reply"]


def test_a_lost_connection_is_known_before_the_timeout(pair):
    listener, link = pair
    assert link.is_usable()
    link.send([b"request"])
    next_request(listener)
    listener.close(linger=0)

    def receive():
        while link.receive(SECONDS) is None:
            pass

    with pytest.raises(TransportError, match="was lost before the reply came"):
        receive()
    assert not link.is_usable()


def test_requests_are_sent_while_replies_wait_to_be_read_also_where_the_connection_is_lost(pair):
    listener, link = pair
    for _ in range(2 * UNREAD):
        link.send([b"request"])
        envelope, _ = next_request(listener)
        listener.send(envelope, [b"reply"])
    listener.close()
    for _ in range(10 * UNREAD):
        link.send([b"request"])
    assert [link.receive(SECONDS) for _ in range(UNREAD)] == [[b"reply"]] * UNREAD
    with pytest.raises(TransportError, match="was lost"):
        receive_all(link)


def break_off(port, times):
    """Be at a port in place of a server, and hang up in the middle of so many handshakes."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        for _ in range(times):
            peer, _ = listener.accept()
            with peer:
                peer.recv(1)


def test_a_server_that_comes_back_is_not_taken_for_another_however_often_it_goes():
    """What broke off before a connection was made counts no more after it."""
    server, client = new_key_pair(), new_key_pair()
    gate = Gate(own=server, admits=lambda key, address: key.hex(), refused=lambda why: None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"tcp://127.0.0.1:{port}"
    with contextlib.closing(Link(url, Curve(server=server.public, own=client))) as link:
        for _ in range(2):
            break_off(port, TRIES - 1)
            with contextlib.closing(Listener(url, gate)) as listener:
                link.open(SECONDS, check=partial(listener.wait, 0))
            with pytest.raises(TransportError):
                link.receive(SECONDS)


@pytest.mark.parametrize("transport", URLS)
def test_the_address_is_free_once_its_listener_is_closed(transport, tmp_path):
    url = URLS[transport].format(tmp_path)
    for _ in range(5):
        listener = Listener(url)
        url = listener.url
        with contextlib.closing(Link(url)) as link:
            link.open(SECONDS)
            listener.close()


def test_an_address_in_use_says_so():
    with connected() as (listener, _), pytest.raises(TransportError, match=r"in use .* pass port 0"):
        Listener(listener.url)


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:x", "nonsense://", "tcp://256.0.0.1:0", "ipc:///no/such/dir/x"]
)
def test_what_cannot_be_bound_says_what_was_expected(url):
    with pytest.raises(TransportError, match="expected tcp://host:port, ipc://path or inproc://name"):
        Listener(url)


@pytest.mark.parametrize("port", [65536, 70000, 10**30])
def test_a_port_beyond_the_last_is_not_taken_for_another(port):
    for reached in (Listener, Link):
        with pytest.raises(TransportError, match="ports are 1 to 65535"):
            reached(f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize("url", ["carrier-pigeon://home", "tcp://127.0.0.1:x", "tcp://a:b:c"])
def test_what_cannot_be_connected_to_says_what_was_expected(url):
    with pytest.raises(TransportError, match="expected tcp://host:port, ipc://path or inproc://name"):
        Link(url)


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("lab", "tcp://lab:5555"),
        ("lab:6000", "tcp://lab:6000"),
        ("tcp://lab", "tcp://lab:5555"),
        ("tcp://[::1]", "tcp://[::1]:5555"),
        ("tcp://[::1]:1", "tcp://[::1]:1"),
        ("ipc:///tmp/s", "ipc:///tmp/s"),
        ("inproc://x", "inproc://x"),
    ],
)
def test_the_scheme_and_the_port_may_be_left_out(given, full):
    assert with_default_port(given) == full
