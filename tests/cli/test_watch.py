"""What who started a run sees of it: a table that moves on a terminal, lines elsewhere."""

import os
import pty
import re
import sys
import time
from contextlib import contextmanager

import pytest

from foedus.cli.shell import shell
from foedus.cli.watch import watching
from foedus.track.event import Event

OPENED = Event("opened", {"run": "run-1", "round": 0, "rounds": 3, "roster": ["bank-a", "bank-b"]})
ASKED = Event(
    "asked",
    {"round": 1, "step": "train", "until": "2099-11-22T12:10:00Z", "members": ["bank-a", "bank-b"], "kept": []},
)
WORKING = Event("working", {"member": "bank-a", "bytes": 5000})
FAILED = Event(
    "failed",
    {
        "round": 1, "step": "train", "member": "bank-b", "code": "train.diverged", "bytes": 700, "seconds": 2.5,
        "fields": {"round": "1", "step": "3"},
    },
)  # fmt: skip
ROUND = Event("round", {"round": 1, "used": ["bank-a"], "left_out": {"bank-b": "train.diverged"}, "loss": "0.5"})


@pytest.fixture(autouse=True)
def plain_shell(monkeypatch):
    """Commands that other tests ran in this process leave their options behind."""
    for option in ("quiet", "as_json"):
        monkeypatch.setattr(shell(), option, False)


@contextmanager
def terminal(monkeypatch):
    """A terminal as stderr; what it was sent, without the signs that move the cursor."""
    ours, theirs = pty.openpty()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w") as screen:
        monkeypatch.setattr(sys, "stderr", screen)

        def shown():
            screen.flush()
            os.set_blocking(ours, False)
            data = b""
            while True:
                try:
                    part = os.read(ours, 65536)
                except BlockingIOError:
                    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode())
                data += part

        yield shown
    os.close(ours)


def test_on_a_terminal_a_table_moves_and_what_went_wrong_stays_above_it(monkeypatch):
    with terminal(monkeypatch) as shown, watching() as report:
        for event in (OPENED, ASKED, WORKING):
            report(event)
        time.sleep(1.3)  # the table is drawn each second, without an event
        table = shown()
        report(FAILED)
        report(ROUND)
        above = shown()
    assert "run-1   round 1 of 3   training, round 1" in table
    assert "left   out 5 kB, in 0 B" in table
    assert re.search(r"bank-a +training +5 kB", table)
    assert re.search(r"bank-b +waiting", table)
    assert "bank-a answered" not in table
    assert "training, round 1: bank-b failed: train.diverged" in above
    assert "Lower the learning rate" in above
    assert "round 1 closed: validation loss 0.5000" in above


@pytest.mark.parametrize("option", ["quiet", "as_json"])
def test_nothing_moves_where_nobody_looks(monkeypatch, option):
    monkeypatch.setattr(shell(), option, True)
    with terminal(monkeypatch) as shown, watching() as report:
        for event in (OPENED, ASKED, FAILED):
            report(event)
        text = shown()
    assert ("failed: train.diverged" in text) is (option == "as_json")
    assert "round 1 of 3" not in text


def test_without_a_terminal_each_event_is_a_line(capsys):
    with watching() as report:
        for event in (OPENED, ASKED, WORKING, ROUND):
            report(event)
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "run-1 is open: 3 rounds with bank-a, bank-b",
        "  training, round 1: asked bank-a, bank-b, until 2099-11-22T12:10:00Z",
        "round 1 closed: validation loss 0.5000",
        "  left out: bank-b: train.diverged",
    ]
