"""Lines in place of bars where stderr is no terminal: when they come, and what they say."""

import sys

import pytest

from acepure._utils.messages import shown
from acepure._utils.workers import batches, structure_bar


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [100.0]
    monkeypatch.setattr(batches, "perf_counter", lambda: now[0])
    return now


def test_a_line_when_half_a_minute_has_passed(clock, capsys):
    with structure_bar("fit rows", [None] * 200, None) as bar:
        for seconds, done in ((10, 20), (31, 30), (40, 10), (62, 40)):
            clock[0] = 100.0 + seconds
            bar.update(done)
    assert capsys.readouterr().err.splitlines() == [
        "fit rows: 50 of 200 structures in 31 s, about 93 s to go",
        "fit rows: 100 of 200 structures in 62 s, about 62 s to go",
    ]


def test_of_unknown_length(clock, capsys):
    bar = structure_bar("distances", iter([]), None)
    clock[0] = 131.0
    bar.update(7)
    assert capsys.readouterr().err == "distances: 7 structures in 31 s\n"


def test_silence_when_told_so(clock, capsys):
    bar = structure_bar("fit rows", [None] * 3, False)
    clock[0] = 1000.0
    bar.update(3)
    assert capsys.readouterr().err == ""


def test_between_messages_of_a_fit(clock, capsys):
    """With them rather than on stderr, once."""
    with shown(sys.stdout), structure_bar("fit rows", [None] * 3, None) as bar:
        clock[0] = 131.0
        bar.update(3)
    assert capsys.readouterr() == ("fit rows: 3 of 3 structures in 31 s, about 0 s to go\n", "")
