"""Every sample, from every kind of server, over every transport: identical."""

from __future__ import annotations

import pytest

import bridge
from tests.check import difference
from tests.integration.sample_server import SAMPLES
from tests.processes import serving

SERVERS = {
    "router over tcp": ("router", "tcp://127.0.0.1:0"),
    "router over ipc": ("router", "ipc://{folder}/router"),
    "rep over tcp": ("rep", "tcp://127.0.0.1:*"),
    "rep over ipc": ("rep", "ipc://{folder}/rep"),
}


@pytest.fixture(scope="module")
def objects():
    return {name: make() for name, make in SAMPLES.items()}


@pytest.fixture(scope="module", params=SERVERS)
def client(request, tmp_path_factory):
    """A client of a server in another process."""
    kind, url = SERVERS[request.param]
    arguments = (kind, url.format(folder=tmp_path_factory.mktemp("samples")))
    with (
        serving("-m", "tests.integration.sample_server", *arguments) as (address, _),
        bridge.connect(address) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def inproc_client(objects):
    with bridge.Server("inproc://samples") as server, bridge.connect(server.url) as client:
        server.update(objects)
        yield client


def test_every_sample_is_read_identically(client, objects):
    assert list(client) == sorted(objects)
    assert differences(objects, {name: client.read(name) for name in objects}) == {}


def test_every_sample_is_read_identically_within_a_process(inproc_client, objects):
    assert list(inproc_client) == sorted(objects)
    assert differences(objects, {name: inproc_client.read(name) for name in objects}) == {}


def test_every_handle_reads_its_sample_identically(inproc_client, objects):
    assert differences(objects, {name: inproc_client[name].read() for name in objects}) == {}


def test_reading_many_gives_every_sample_in_its_place(inproc_client, objects):
    results = inproc_client.read_many(reversed(objects))
    assert differences(objects, dict(zip(reversed(objects), results, strict=True))) == {}


def differences(objects, results):
    """What is different, by name."""
    found = {name: difference(obj, results[name]) for name, obj in objects.items()}
    return {name: text for name, text in found.items() if text is not None}
