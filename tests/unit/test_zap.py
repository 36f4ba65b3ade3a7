"""Whatever libzmq asks, and whatever goes wrong, the answer is no unless somebody said yes."""

from __future__ import annotations

import logging

import pytest

from bridge import zap

KEY = bytes(range(32))
QUESTION = [b"1.0", b"7", b"bridge", b"10.0.0.7", b"id", b"CURVE", KEY]
NO = [b"1.0", b"7", b"400", b"this key is not allowed", b"", b""]


def test_a_key_that_is_admitted_gets_its_user_id():
    asked = []

    def admits(key, address):
        asked.append((key, address))
        return "ada"

    assert zap.answer(QUESTION, admits) == [b"1.0", b"7", b"200", b"OK", b"ada", b""]
    assert asked == [(KEY, "10.0.0.7")]


@pytest.mark.parametrize("user", [None, ""])
def test_a_key_without_a_user_id_is_refused(user):
    assert zap.answer(QUESTION, lambda *_: user) == NO


def test_a_callback_that_raises_refuses_and_the_log_says_why(caplog):
    def admits(key, address):
        raise ZeroDivisionError("in the callback")

    with caplog.at_level(logging.ERROR, "bridge"):
        assert zap.answer(QUESTION, admits) == NO
    assert "ZeroDivisionError: in the callback" in caplog.text


@pytest.mark.parametrize(
    ("place", "frame"),
    [
        (0, b"2.0"),
        (2, b""),
        (2, b"global"),
        (5, b"NULL"),
        (5, b"PLAIN"),
        (6, b""),
        (6, KEY[:31]),
        (6, KEY + b"0"),
    ],
)
def test_another_question_is_refused_without_asking_anybody(place, frame):
    question = QUESTION.copy()
    question[place] = frame
    assert zap.answer(question, lambda *_: pytest.fail("was asked")) == NO


@pytest.mark.parametrize("length", range(7))
def test_a_question_that_is_cut_off_is_refused(length):
    status = zap.answer(QUESTION[:length], lambda *_: "ada")[2]
    assert status == b"400"


def test_a_password_is_no_key():
    assert zap.answer([*QUESTION[:5], b"PLAIN", b"ada", b"secret"], lambda *_: "ada")[2] == b"400"
