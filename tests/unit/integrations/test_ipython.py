"""Magics, and what a notebook does by itself: cells that run again, and tracebacks."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import bridge
from tests.shell import ipython


@pytest.fixture(scope="module")
def served():
    with bridge.Server("tcp://127.0.0.1:0", writable="mine/", tracebacks=True) as server:
        server.update({"run/x": pd.Series(range(10)).to_numpy(), "df": pd.DataFrame({"a": range(5)})})
        server["tree"] = {"k": [1, 2]}
        server["windows"] = bytes(8 << 20)

        def innermost(n: int) -> float:
            return 1 / n

        @server.query
        def fail(n: int) -> float:
            return innermost(n)

        yield server


@pytest.fixture(scope="module")
def shell():
    with ipython() as shell:
        shell.run("import bridge, numpy as np\n%load_ext bridge")
        yield shell


@pytest.fixture
def connected(shell, served):
    shell.run(f"%bridge {served.url}")
    return shell


def test_without_a_connection_a_magic_says_how_to_make_one():
    with ipython() as shell:
        shell.run("%load_ext bridge")
        assert "%bridge URL makes one" in shell.run("%pull x")


def test_bridge_connects_and_shows_what_is_served(shell, served):
    shown = shell.run(f"%bridge {served.url} as lab")
    assert "'run/x'" in shown
    assert served.url in shell.run("lab.url")


def test_what_is_pulled_is_the_result_or_lands_in_a_variable(connected):
    assert "array([0, 3, 6, 9])" in connected.run("%pull run/x[::3]")
    assert connected.run("%pull run/x[-1] as last") == ""
    assert "9" in connected.run("last")
    connected.run("whole = %pull run/x")
    assert "(10,)" in connected.run("whole.shape")
    assert "{'k': [1, 2]}" in connected.run("%pull tree")


def test_rows_of_a_table_are_pulled_by_a_slice(connected):
    connected.run("%pull df[1:3] as rows")
    assert "[1, 2]" in connected.run("list(rows['a'])")


def test_a_variable_is_pushed_where_the_server_allows_it(connected, served):
    connected.run("result = np.arange(3)")
    assert connected.run("%push result as mine/result") == ""
    assert "mine/result" in list(served)
    assert "'result' is not writable" in connected.run("%push result")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%pull", "%pull: what? For example"),
        ("%pull run/x[__import__('os')] as w", "is no index"),
        ("%pull run/x as not-a-name", "'not-a-name' is no name of a variable"),
        ("%pull run/x as class", "'class' is no name of a variable"),
        ("%pull no-such-name as 1x", "'1x' is no name of a variable"),
        ("%bridge tcp://127.0.0.1:1 as 1x", "'1x' is no name of a variable"),
        ("%pull df[2]", "'df' is a table; of its rows, take one slice: df[:1000]"),
        ("%pull df[:2, 0]", "'df' is a table"),
        ("%pull tree[0]", "'tree' is neither an array nor a table"),
        ("%push nothing", "there is no variable 'nothing'"),
        ("%push __import__('os')", "there is no variable"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_and_no_traceback(connected, line, said):
    shown = connected.run(line)
    assert said in shown
    assert "Traceback" not in shown


def test_a_traceback_has_the_users_lines_and_the_end_of_the_servers(connected):
    shown = connected.run("b.call('fail', n=0)")
    assert "----> 1 b.call('fail', n=0)" in shown
    assert re.search(r"\[\.\.\. \d+ frames of zbridge are hidden\]", shown)
    assert "client.py" not in shown
    assert shown.count("On the server") == 1
    assert re.search(r"\[\.\.\. \d+ lines are hidden: the error's remote_traceback has them\]", shown)
    assert "in innermost" in shown
    assert "in fail" not in shown
    assert shown.rstrip().endswith("ZeroDivisionError: division by zero")
    assert connected.run("import sys; print('in fail' in sys.last_value.remote_traceback)") == "True\n"


def test_an_error_of_a_function_of_the_users_keeps_its_lines(connected):
    connected.run("def watch(done, total):\n    raise LookupError('mine')")
    shown = connected.run("b.read('windows', progress=watch)")
    assert "raise LookupError('mine')" in shown


def test_an_error_of_our_own_names_no_line_of_ours(connected):
    shown = connected.run("b.put('mine/x', object())")
    assert "EncodeError: object cannot be sent" in shown
    assert ".py" not in shown


def test_a_cell_that_runs_again_takes_the_place_of_its_server(shell):
    first = shell.run("srv = bridge.serve(x=np.arange(3)); print(srv.url)").strip()
    with bridge.connect(first) as b:
        assert len(b.read("x")) == 3
        assert (
            shell.run("old = srv; srv = bridge.serve(x=np.arange(4)); print(srv.url)").strip() == first
        )
        assert len(b.read("x")) == 4
    assert "closed" in shell.run("print(old)")


def test_what_cannot_be_served_leaves_the_old_server_in_place(shell):
    url = shell.run("srv = bridge.serve(x=np.arange(5)); print(srv.url)").strip()
    assert "cannot be sent" in shell.run("srv = bridge.serve(x=object())")
    with bridge.connect(url) as b:
        assert len(b.read("x")) == 5


def test_an_address_of_its_own_is_taken_over_and_port_0_is_always_another(shell, tmp_path):
    url = f"ipc://{tmp_path}/socket"
    assert shell.run(f"one = bridge.serve(url='{url}'); print(one.url)").strip() == url
    assert shell.run(f"two = bridge.serve(url='{url}'); print(two.url, one)").startswith(url)
    shell.run("a, b = (bridge.serve(url='tcp://127.0.0.1:0') for _ in range(2))")
    assert "True" in shell.run("a.url != b.url")
    assert shell.run("print(a, b)").count("serving") == 2


def test_elsewhere_two_servers_are_two():
    with bridge.serve() as one, bridge.serve() as other:
        assert one.url != other.url
        assert "serving" in repr(one)


def test_names_are_completed_behind_a_bracket(connected):
    connected.run("import warnings; warnings.simplefilter('ignore')  # completion is provisional")
    connected.run("complete = get_ipython().Completer.completions")
    assert "run/x" in connected.run("print([c.text for c in complete('b[\"ru', 5)])")
    assert "'a'" in connected.run("t = b['df']; print([c.text for c in complete('t[\"', 3)])")
