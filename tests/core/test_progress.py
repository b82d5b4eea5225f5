"""What takes long says what it is at, and what is quick says nothing. Time is a number here that tests set."""

import io

import pytest

from ganrun import progress


class Terminal(io.StringIO):
    """A terminal without movement."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds, to be changed by a test; the first word comes after 1.5, then one every 10."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "SOON", 1.5)
    return now


def test_quick_work_says_nothing(clock, capsys):
    for _ in progress.track(range(5), "reading", 5):
        clock[0] += 0.25
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_is_a_line_after_a_moment_one_every_ten_seconds_and_one_at_the_end(clock, capsys):
    """One item a second of 20. What is left is the time taken so far in proportion."""
    for _ in progress.track(range(20), "reading pictures", 20):
        clock[0] += 1
    assert capsys.readouterr() == (
        "",
        "reading pictures: 2/20, 0:18 left\nreading pictures: 12/20, 0:08 left\nreading pictures: 20/20, in 0:20\n",
    )


def test_items_that_are_not_all_wanted_end_with_what_was_done(clock, capsys):
    for item in progress.track(range(10), "trying", 10):
        clock[0] += 1
        if item == 4:
            break
    assert capsys.readouterr().err.splitlines()[-1].startswith("trying: 4/10, in 0:0")


def test_other_processes_are_silent(clock, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    for _ in progress.track(range(5), "reading", 5):
        clock[0] += 10
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    for _ in progress.track(range(3), "reading pictures", 3):
        clock[0] += 1
    assert "reading pictures" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_what_cannot_be_counted_is_said_once_it_takes_long(monkeypatch, capsys):
    timers = []

    class Timer:
        def __init__(self, seconds, function):
            self.seconds, self.function, self.running = seconds, function, False
            timers.append(self)

        def start(self):
            self.running = True

        def cancel(self):
            self.running = False

    monkeypatch.setattr(progress.threading, "Timer", Timer)
    with progress.message_if_slow("loading torch"):
        (timer,) = timers
        assert timer.running
        timer.function()
    assert capsys.readouterr().err == "loading torch ...\n"
    assert not timer.running
    assert timer.seconds == progress.SOON
