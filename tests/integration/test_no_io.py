"""What an editor or a notebook touches by itself works without the server: it does no I/O."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bridge
from bridge.transport import Link

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})


@pytest.fixture(scope="module")
def client_and_handles():
    """A client whose server is gone: anything that asks it something fails."""
    with bridge.Server("tcp://127.0.0.1:0") as server:
        server.update({"x": np.zeros((3, 4)), "df": FRAME, "table": pa.Table.from_pandas(FRAME)})
        server["tree"] = {"a": [1, 2]}

        @server.query
        def spectrum(channel: int, window: str = "hann") -> np.ndarray:
            """Return a spectrum.

            It is not a real one.
            """
            raise NotImplementedError

        client = bridge.connect(server.url, timeout=0.1)
        handles = {name: client[name] for name in client}
    with client:
        yield client, handles


@pytest.fixture
def messages(monkeypatch):
    """All that is sent, by any client."""
    sent = []
    send = Link.send

    def noted(link, frames, *options):
        sent.append(frames)
        send(link, frames, *options)

    monkeypatch.setattr(Link, "send", noted)
    return sent


@pytest.fixture
def client(client_and_handles):
    return client_and_handles[0]


@pytest.fixture
def handles(client_and_handles):
    return client_and_handles[1]


def test_the_server_is_gone(client):
    with pytest.raises(bridge.TransportError):
        client.ping()


@pytest.mark.parametrize("name", ["x", "df", "table", "tree", "spectrum"])
def test_whatever_completion_and_help_look_at(handles, name):
    handle = handles[name]
    for attribute in dir(handle):
        getattr(handle, attribute)
    inspect.signature(type(handle))
    assert name in repr(handle)
    assert not hasattr(handle, "_repr_nonsense_")
    assert not hasattr(handle, "_ipython_canary_method_should_not_exist_")


def test_the_client_shows_its_catalogue(client, handles):
    for attribute in dir(client):
        getattr(client, attribute)
    for name in handles:
        assert name in repr(client)
    assert client.info["version"] == bridge.__version__


def test_an_array_has_the_attributes_of_an_array(handles):
    x = handles["x"]
    assert (x.name, x.shape, x.ndim, x.size, x.nbytes) == ("x", (3, 4), 2, 12, 96)
    assert x.dtype == np.float64
    assert len(x) == 3
    assert repr(x) == "<RemoteArray 'x' float64 3 × 4, 96 B>"


@pytest.mark.parametrize("name", ["df", "table"])
def test_a_table_is_narrowed_and_described(handles, name):
    table = handles[name]
    assert table.columns == list(table.dtypes.index) == table.schema.names == ["a", "b"]
    assert len(table) == table.num_rows == 3
    narrower = table.filter([("a", ">", 1)]).select(["b"]).slice(0, 10).head(2)
    assert narrower.columns == list(narrower.dtypes.index) == narrower.schema.names == ["b"]
    assert narrower.num_rows is None
    assert name in repr(narrower)


def test_the_dtypes_are_those_of_the_frame(handles):
    pd.testing.assert_series_equal(handles["df"].dtypes, FRAME.dtypes)
    pd.testing.assert_series_equal(handles["df"].select(["b"]).dtypes, FRAME[["b"]].dtypes)


def test_a_query_has_its_signature_and_docstring(handles):
    spectrum = handles["spectrum"]
    assert spectrum.signature.startswith("spectrum(channel: int, window: str = 'hann')")
    assert spectrum.__doc__ == "Return a spectrum.\n\nIt is not a real one."
    assert "Return a spectrum." in repr(spectrum)
    with pytest.raises(TypeError, match="takes 2 arguments, not 3"):
        spectrum(1, 2, 3)
    with pytest.raises(TypeError, match="two values for 'channel'"):
        spectrum(1, channel=2)


def test_what_a_notebook_shows_says_what_is_known(client, handles):
    card = client._repr_html_()
    assert client.url in card
    assert f"zbridge {bridge.__version__} there, {bridge.__version__} here" in card
    assert "this computer only" in card
    assert "round trip" in card
    for name, handle in handles.items():
        assert f"<code>{name}</code>" in card
        assert name in handle._repr_html_()
    assert "float64 3 × 4, 96 B" in handles["x"]._repr_html_()
    assert "<td>int64</td>" in handles["df"]._repr_html_()
    assert "<td>large_string</td>" in handles["table"].select(["b"])._repr_html_()
    assert "It is not a real one." in handles["spectrum"]._repr_html_()


def test_no_message_is_sent_by_what_nobody_asked_for(messages):
    with bridge.serve(x=np.zeros((3, 4)), df=FRAME, tree={"a": 1}) as server:
        server.channel("log")
        server.query(test_no_message_is_sent_by_what_nobody_asked_for)
        with bridge.connect(server.url) as client:
            handles = list(client.values())
            client.read("x")
            messages.clear()
            for obj in (client, client.last, bridge.options, *handles):
                assert repr(obj)
                for attribute in dir(obj):
                    getattr(obj, attribute)
            for obj in (client, client.last, *handles):
                assert obj._repr_html_()
            assert "x" in client._ipython_key_completions_()
            x, df = client["x"], client["df"]
            messages.clear()
            assert df._ipython_key_completions_() == ["a", "b"]
            assert df.filter([("a", ">", 1)]).select(["b"]).head()._repr_html_()
            for plan in (x.plan(), x.plan(np.s_[1:]), df.plan(), df.slice(0, 1).plan()):
                assert repr(plan)
                assert plan._repr_html_()
            assert messages == []
            client.ping()
            assert len(messages) == 1
