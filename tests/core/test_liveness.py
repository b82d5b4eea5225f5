"""Which process died, and why: on connections within this process."""

import queue
import socket
import threading

import pytest

from ganrun import liveness
from ganrun.distributed import LostProcess, Processes, is_of_connections
from ganrun.liveness import WITHOUT_A_WORD, Liveness

WAIT = 20  # seconds, far more than it takes


@pytest.fixture
def watching():
    """A function: a watch for each of some processes, all here. ``before`` is called with the place to connect to."""
    made = []

    def start(world, before=lambda place: None):
        places = queue.Queue()

        def share(place):
            before(place)
            for _ in range(world - 1):
                places.put(place)
            return place

        first = []
        thread = threading.Thread(target=lambda: first.append(Liveness(0, world, share)))
        thread.start()
        others = [Liveness(rank, world, lambda _: places.get(timeout=WAIT)) for rank in range(1, world)]
        thread.join(WAIT)
        made.extend([*first, *others])
        return made

    yield start
    for each in made:
        each.close()


def test_who_ends_without_a_word_is_lost_and_all_others_learn_it(watching, capsys):
    main, one, two = watching(3)
    one._peers[0].connection.shutdown(socket.SHUT_RDWR)  # as the system does with the connections of a killed process
    for other in (main, two):
        lost = other.find(WAIT)
        assert (lost.rank, lost.why) == (1, WITHOUT_A_WORD)
        assert str(lost).startswith(f"process 1 (pid {lost.pid} on {socket.gethostname()}) was killed")
        other.close()
    said = capsys.readouterr().err
    assert all(f"{WITHOUT_A_WORD}; process {rank} ends, too" in said for rank in (0, 2)), (
        "at once, not when it is too late"
    )


def test_the_main_process_may_be_the_one(watching):
    main, other = watching(2)
    main._peers[0].connection.shutdown(socket.SHUT_RDWR)
    assert other.find(WAIT).rank == 0


def test_who_fails_says_why(watching):
    main, other = watching(2)
    other.close("the disk is full")
    assert main.find(WAIT).why == "failed: the disk is full"


def test_who_leaves_in_time_is_not_lost(watching):
    main, other = watching(2)
    other.close()
    main.close()
    assert main.lost is None
    assert other.lost is None


def test_a_stranger_who_connects_is_sent_away(watching):
    def strangers(place):
        for said in (b"", b"hello\n", b'{"token": "guess", "rank": 1}\n', b"[]\n"):
            with socket.create_connection(("127.0.0.1", place[1])) as connection:
                connection.sendall(said)

    main, other = watching(2, before=strangers)
    other.close("done for")
    assert main.find(WAIT).why == "failed: done for"


def test_no_sign_of_life_is_a_loss(watching, monkeypatch):
    main, other = watching(2)
    monkeypatch.setattr(liveness, "BEAT", 0.0)
    monkeypatch.setattr(liveness, "SILENCE", -1.0)
    found = main.find(WAIT) or other.find(WAIT)
    assert "gave no sign of life" in found.why


def test_one_that_waits_for_a_lost_one_says_so_and_is_ended(watching, monkeypatch, capsys):
    monkeypatch.setattr(liveness, "SAID", 0.01)
    monkeypatch.setattr(liveness, "ENDED", 0.01)
    ended = threading.Event()
    monkeypatch.setattr(liveness.os, "_exit", lambda code: ended.set())
    _, other = watching(2)
    other.close("no memory")
    assert ended.wait(WAIT)
    assert "failed: no memory and will be ended" in capsys.readouterr().err


# --- around a run -----------------------------------------------------------------------------------------------


@pytest.fixture
def watched(monkeypatch):
    """A function: a process of two, of which the other one is lost or not."""

    def make(lost):
        closed = []

        class Watch:
            def __init__(self, rank, world, share):
                pass

            def find(self, seconds):
                return lost

            def close(self, failed=""):
                closed.append(failed)

        monkeypatch.setattr("ganrun.distributed.Liveness", Watch)
        processes = Processes("cpu")
        processes.world = 2
        return processes, closed

    return make


def raised(processes, error):
    with processes.watched():
        raise error


def test_an_error_of_the_connection_becomes_the_loss_that_caused_it(watched):
    processes, closed = watched(liveness.Lost(1, "there", 7, "failed: no disk"))
    with pytest.raises(
        LostProcess, match=r"process 0 ends, because process 1 \(pid 7 on there\) failed: no disk"
    ) as caught:
        raised(processes, RuntimeError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer"))
    assert caught.value.exit_code == 1
    assert closed == ["lost process 1"]


def test_an_error_of_ones_own_stays_and_the_others_are_told(watched):
    processes, closed = watched(liveness.Lost(1, "there", 7, "failed: no disk"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        raised(processes, RuntimeError("shapes do not fit\nat all"))
    processes, closed_too = watched(None)
    with pytest.raises(RuntimeError, match="closed by peer"):
        raised(processes, RuntimeError("gloo: closed by peer"))
    with processes.watched():
        pass
    assert closed == ["shapes do not fit at all"]
    assert closed_too == ["gloo: closed by peer", ""]


def test_an_error_that_was_caused_by_the_connection_is_of_it():
    caused = ValueError("the gradients cannot be computed")
    caused.__cause__ = RuntimeError("NCCL error: remote process exited")
    assert is_of_connections(caused)
    assert not is_of_connections(ValueError("gloo"))
    assert not is_of_connections(None)
