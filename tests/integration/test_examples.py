"""The examples, run as a user runs them."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import bridge
from tests.processes import output_of, serving, started

WAVEFORM = np.sin(np.linspace(0, 20, 10_000)).reshape(1000, 10)


@pytest.fixture
def quickstart_url():
    with serving("examples/quickstart_server.py", "tcp://127.0.0.1:0") as (url, _):
        yield url


@pytest.fixture
def rep_url(tmp_path):
    """An ipc address: the client connects before or after the server has bound it."""
    url = f"ipc://{tmp_path}/socket"
    with started("examples/minimal_rep_server.py", url):
        yield url


@pytest.fixture(params=["quickstart_url", "rep_url"])
def url(request):
    return request.getfixturevalue(request.param)


def test_the_plain_client_reads_from_both_servers(url):
    output = output_of("examples/plain_req_client.py", url)
    assert "waveform array\n" in output
    assert "trades table\n" in output
    assert f"{WAVEFORM[:5, 3]}\n" in output
    assert "an Arrow stream of" in output


def test_the_client_reads_from_both_servers(url):
    with bridge.connect(url) as b:
        assert {"waveform", "trades"} <= {*b}
        np.testing.assert_array_equal(b.read("waveform"), WAVEFORM)
        np.testing.assert_array_equal(b["waveform"][::-250, 3], WAVEFORM[::-250, 3])
        assert b["trades"]["price"].sum() > 0


def test_the_quickstart_client_shows_what_the_quickstart_server_serves(quickstart_url):
    output = output_of("examples/quickstart_client.py", quickstart_url)
    assert "spectrum(channel: int, window: str = 'hann')" in output
    assert "(1000, 10) float64\n" in output
    assert "2026-01-05 09:00:00+01:00" in output
    assert "did you mean 'waveform'?" in output


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_quickstart_server_stops_in_peace(how):
    with serving("examples/quickstart_server.py", "tcp://127.0.0.1:0") as (url, process):
        bridge.connect(url).close()  # once it answers it is in run()
        process.send_signal(how)
        assert process.wait() == 0
