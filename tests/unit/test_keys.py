"""Which addresses a server may listen on without keys."""

from __future__ import annotations

import pytest

from bridge.errors import TransportError
from bridge.keys import check_bind, is_local

LOCAL = [
    "tcp://127.0.0.1:5555",
    "tcp://127.0.0.1:*",
    "tcp://127.0.0.1:0",
    "tcp://127.255.255.254:5555",
    "tcp://[::1]:5555",
    "tcp://[::ffff:127.0.0.1]:5555",
    "tcp://localhost:5555",
    "ipc:///tmp/socket",
    "ipc://@abstract",
    "inproc://name",
]
REACHABLE = [
    "tcp://*:5555",
    "tcp://0.0.0.0:5555",
    "tcp://[::]:5555",
    "tcp://192.168.1.7:5555",
    "tcp://8.8.8.8:5555",
    "tcp://[::ffff:8.8.8.8]:5555",
    "tcp://eth0:5555",
    "tcp://lo:5555",
    "tcp://myhost.example:5555",
    "tcp://localhost.example.com:5555",
    "tcp://127.0.0.1.example.com:5555",
    "tcp://127.1:5555",
    "tcp://0x7f.0.0.1:5555",
    "tcp://2130706433:5555",
    "tcp://eth0;127.0.0.1:5555",
    "tcp://127.0.0.1",
    "tcp://:5555",
    "tcp://",
    "tcp:127.0.0.1:5555",
    "udp://239.0.0.1:5555",
    "pgm://127.0.0.1;239.0.0.1:5555",
    "ws://0.0.0.0:80",
    "127.0.0.1",
    "",
    "TCP://0.0.0.0:5555",
]


@pytest.mark.parametrize("url", LOCAL)
def test_addresses_that_only_this_machine_reaches_are_bound(url):
    assert is_local(url)
    check_bind(url, insecure=False)


@pytest.mark.parametrize("url", REACHABLE)
def test_any_other_address_is_refused_with_the_ways_out(url):
    assert not is_local(url)
    with pytest.raises(TransportError, match="insecure=True") as caught:
        check_bind(url, insecure=False)
    assert "ssh -L" in str(caught.value)
    assert url in str(caught.value)


@pytest.mark.parametrize("url", REACHABLE)
def test_the_user_may_insist(url):
    check_bind(url, insecure=True)
