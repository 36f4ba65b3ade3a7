"""One tree of errors: the class says whose fault it is, and old `except` clauses go on working."""

from __future__ import annotations

import builtins
import copy
import pickle

import pytest

from bridge.errors import (
    BenchError,
    BridgeError,
    Changed,
    EncodeError,
    IdleTimeout,
    Lagged,
    RemoteError,
    TransportError,
    WireError,
    remote_error,
)

SAMPLES = [
    BenchError("this is no record of zbridge bench"),
    BridgeError("something failed"),
    Changed("'x' was replaced while it was being read"),
    EncodeError("dtype object cannot be sent"),
    IdleTimeout("nothing came for 30 s"),
    Lagged(7),
    RemoteError("internal", "the server failed"),
    TransportError("the connection was lost"),
    WireError("too many buffers", code="too_large"),
    remote_error("failed", "no such file", "FileNotFoundError", "Traceback ..."),
]


def class_name(error: object) -> str:
    return type(error).__name__


def pickled(error: Exception) -> Exception:
    result: Exception = pickle.loads(pickle.dumps(error))
    return result


@pytest.mark.parametrize("error", SAMPLES, ids=class_name)
def test_there_is_one_root(error):
    assert isinstance(error, BridgeError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (BenchError, ValueError),
        (EncodeError, TypeError),
        (WireError, ValueError),
        (TransportError, ConnectionError),
        (IdleTimeout, TransportError),
        (IdleTimeout, TimeoutError),
    ],
)
def test_an_error_is_also_what_an_old_except_clause_expects(error, builtin):
    assert issubclass(error, builtin)


@pytest.mark.parametrize("send", [copy.copy, pickled])
@pytest.mark.parametrize("error", SAMPLES, ids=class_name)
def test_an_error_is_the_same_in_another_process(error, send):
    again = send(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_wire_error_is_a_bad_request_unless_it_says_otherwise():
    assert WireError("no 'op'").code == "bad_request"
    assert WireError("too long", code="too_large").code == "too_large"


def test_what_a_server_says_of_its_failure_commands_no_terminal():
    error = remote_error("failed", "\x1b[2J is\nhere", "KeyError", "line 1\n\x1b]0;title\x07")
    assert str(error) == "KeyError: \\x1b[2J is\nhere\n\nOn the server:\nline 1\n\\x1b]0;title\\x07"


def test_lagged_says_how_many_rows_were_lost_and_what_to_do():
    error = Lagged(7)
    assert error.lost == 7
    assert "7 rows" in str(error)
    assert "follow again" in str(error)


@pytest.mark.parametrize(
    "name",
    [
        "FileNotFoundError",
        "ImportError",
        "IndexError",
        "KeyError",
        "MemoryError",
        "NotImplementedError",
        "OSError",
        "TypeError",
        "ValueError",
        "ZeroDivisionError",
    ],
)
def test_what_was_raised_on_the_server_can_be_caught_here(name):
    with pytest.raises(getattr(builtins, name)) as caught:
        raise remote_error("failed", "what happened", name)
    assert isinstance(caught.value, RemoteError)
    assert str(caught.value) == f"{name}: what happened"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "BrokenPipeError",
        "EOFError",
        "GeneratorExit",
        "KeyboardInterrupt",
        "StopAsyncIteration",
        "StopIteration",
        "SystemExit",
        "UnicodeDecodeError",
        "__import__",
        "os.system",
        "x" * 99,
    ],
)
def test_a_name_outside_the_table_is_a_plain_remote_error(name):
    assert type(remote_error("failed", "what happened", name)) is RemoteError


def test_a_failure_of_the_servers_own_is_its_sentence_alone():
    error = remote_error("not_found", "no 'wavefrom' here; did you mean 'waveform'?", "KeyError")
    assert str(error) == "no 'wavefrom' here; did you mean 'waveform'?"


def test_the_servers_traceback_is_shown_below_the_sentence():
    error = remote_error("failed", "no 3", "KeyError", "Traceback: line 1")
    assert str(error) == "KeyError: no 3\n\nOn the server:\nTraceback: line 1"
