"""Worker processes: they change nothing of what is read, read ahead, and end as they should."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numbered_data
import numpy as np
import pytest
import torch
from numbered_data import Streamed, drain
from prerequisites import needs

from ganrun.data.order import permutation
from ganrun.data.reader import Reader
from ganrun.data.workers import batch_memory, computed_in_workers, settle
from ganrun.errors import DataError, UserError


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_change_nothing_and_resume_at_any_position(workers):
    expected = drain(Reader(Streamed(), (0, "x"), batch_rows=4), 12)
    reader = Reader(Streamed(), (0, "x"), batch_rows=4, workers=workers)
    assert torch.equal(drain(reader, 12), expected)
    reader.position = 8
    assert torch.equal(drain(reader, 10), expected[8:])
    assert torch.equal(drain(reader, 6, rows=2, parts=2), drain(Reader(Streamed(), (0, "x"), batch_rows=4), 18)[48:])
    reader.close()


def test_workers_read_ahead_all_parts_of_a_step_from_the_second_step_on():
    """Micro-batches: three calls a step, each foreseen, each in another process."""
    reader = Reader(Streamed(50), (0,), batch_rows=6, workers=2)
    pids = []
    for _ in range(4):
        pids.append({int(reader.get(2, part, 3)["pid"][0]) for part in range(3)})
        reader.advance(6)
    reader.close()
    assert pids[0] == {os.getpid()}
    assert all(os.getpid() not in step for step in pids[1:])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_read_is_named_when_its_batch_is_due(workers):
    order = permutation(10, 0, "order", 0)
    reader = Reader(Streamed(bad=int(order[9])), (0,), batch_rows=2, workers=workers)
    drain(reader, 4, rows=2)
    with pytest.raises(UserError, match=r"17\.jpg"):
        reader.get(2)
    reader.close()


def test_a_worker_that_dies_is_reported_in_one_line():
    reader = Reader(Dying(), (0,), batch_rows=2, workers=1)
    with pytest.raises(UserError, match=r"a worker process .* died .* train.workers"):
        drain(reader, 10, rows=2)


class Dying(Streamed):
    """Kills whoever reads it, but the process of the test."""

    parent = os.getpid()

    def batch(self, indices, draws):
        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(indices, draws)


def test_starting_workers_leaves_the_global_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    reader = Reader(Streamed(), (0,), batch_rows=2, workers=1)
    drain(reader, 3, rows=2)
    reader.close()
    assert torch.equal(torch.rand(3), expected)


PARENT = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from numbered_data import Streamed
from ganrun.data.reader import Reader
reader = Reader(Streamed(), (0,), batch_rows=2, workers=1)
for _ in range(3):
    pid = int(reader.get(2)["pid"][0]); reader.advance(2)
os.kill(pid, signal.SIGINT); os.kill(pid, signal.SIGTERM)
for _ in range(10):
    assert int(reader.get(2)["pid"][0]) == pid; reader.advance(2)
print(pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@needs(sys.platform == "linux", "/proc")
def test_workers_outlive_ctrl_c_and_sigterm_but_not_their_parent():
    code = PARENT.format(folder=os.path.dirname(numbered_data.__file__))
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not running(pid)


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@needs(sys.platform == "linux", "/proc")
def test_a_worker_whose_parent_was_killed_before_it_began_ends(monkeypatch):
    """Else it would stay for good: the signal comes at the death of a parent that is alive when it is asked for."""
    ended = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr("signal.signal", lambda *of: None)
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(prctl=lambda *of: 0))
    settle(os.getppid(), 0)
    settle(os.getppid() + 1, 0)
    assert ended == [1]


# --- items that are computed ahead ------------------------------------------------------------------------------


def test_items_computed_in_workers_come_in_their_order_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    found = list(computed_in_workers(lambda row: np.array([row, os.getpid()]), 1100))
    assert [item[0] for item in found] == list(range(1100))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_few_items_are_computed_without_workers():
    assert {int(item) for item in computed_in_workers(lambda row: np.array(os.getpid()), 3)} == {os.getpid()}


def test_an_error_of_a_worker_that_computes_is_the_users():
    def compute(row):
        if row == 1050:
            raise DataError("b.png: broken")
        return np.array(row)

    with pytest.raises(DataError, match=r"^b\.png: broken$"):
        list(computed_in_workers(compute, 1100))


def test_memory_for_a_batch_is_shared_in_a_worker():
    assert not batch_memory((2, 3), torch.uint8).is_shared()
    found = list(computed_in_workers(lambda row: np.array(batch_memory((2, 3), torch.float32).is_shared()), 1100))
    cores = len(os.sched_getaffinity(0))
    assert all(found) == (cores > 1)
