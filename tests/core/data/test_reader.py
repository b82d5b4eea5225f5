"""Reading: the order of items, workers, resuming, and what a batch looks like."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from ganrun.data.reader import (
    DataError,
    InMemory,
    Order,
    Reader,
    fingerprint,
    permutation,
    read_items,
    selected_classes,
)
from ganrun.errors import UserError
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import Space


class Streamed:
    """Not in memory: an item is (index, a random number of its own), and the process that read it is on record."""

    spaces = {"x": Space("points", (2,)), "pid": Space("labels", (), 2)}
    classes = ()
    in_memory = False

    def __init__(self, length=10, bad=-1):
        self.length = length
        self.bad = bad

    def __len__(self):
        return self.length

    def batch(self, indices, draws):
        if self.bad in indices.tolist():
            raise UserError("pictures/17.jpg: cannot be read")
        x = np.stack([indices.numpy().astype(np.float64), draws.uniform("crop")[:, 0]], axis=1)
        return {"x": torch.from_numpy(x).float(), "pid": torch.full((len(indices),), os.getpid())}


def points(n=10):
    return InMemory({"x": torch.arange(n).float()[:, None]}, {"x": Space("points", (1,))})


def drain(reader, steps, rows=4, parts=1):
    """The first coordinates and random numbers of all parts of some steps."""
    out = []
    for _ in range(steps):
        out += [reader.get(rows, part, parts)["x"].clone() for part in range(parts)]
        reader.advance(rows * parts)
    return torch.cat(out)


def test_an_epoch_holds_every_item_once_and_epochs_differ():
    read = drain(Reader(points(12), (0, "D"), batch_rows=4), 6).flatten().long()
    assert sorted(read[:12].tolist()) == sorted(read[12:].tolist()) == list(range(12))
    assert read[:12].tolist() != read[12:].tolist()


def test_a_batch_goes_over_the_end_of_an_epoch():
    """10 items in batches of 4: the third batch holds the last 2 of an epoch and the first 2 of the next."""
    order = [permutation(10, 0, "D", "order", epoch) for epoch in (0, 1)]
    read = drain(Reader(points(10), (0, "D"), batch_rows=4), 5).flatten().long()
    assert read.tolist() == [*order[0], *order[1]]


def test_the_order_depends_on_the_key_alone():
    first, same, other = (drain(Reader(points(50), key, batch_rows=4), 10) for key in ((0, "D"), (0, "D"), (0, "G")))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_permutation_is_fixed_for_good():
    assert permutation(8, "a", 1).tolist() == permutation(8, "a", 1).tolist()
    assert permutation(10, "fixed").tolist() == FIXED
    assert permutation(1, "a").tolist() == [0]


FIXED = [8, 2, 9, 6, 0, 7, 3, 5, 4, 1]


@pytest.mark.parametrize("make", [points, Streamed])
def test_the_parts_of_a_batch_make_up_the_global_batch(make):
    whole = drain(Reader(make(), (3,), batch_rows=8), 5, rows=8)
    parts = drain(Reader(make(), (3,), batch_rows=8), 5, rows=2, parts=4)
    assert torch.equal(whole, parts)


def test_reading_does_not_move_the_position_and_a_set_position_resumes():
    through = Reader(points(), (0,), batch_rows=4)
    drain(through, 7)
    again = Reader(points(), (0,), batch_rows=4)
    again.position = through.position
    assert torch.equal(again.get(4)["x"], again.get(4)["x"])
    assert torch.equal(drain(again, 3), drain(through, 3))


def test_a_batch_of_more_than_two_epochs_is_read_all_the_same():
    reader = Reader(points(3), (0,), batch_rows=3)
    reader.position = 2
    assert torch.equal(
        reader.get(11)["x"].flatten(), drain(Reader(points(3), (0,), batch_rows=3), 13, rows=1).flatten()[2:]
    )


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


def test_a_batch_that_two_phases_ask_for_is_decoded_once():
    data = Streamed()
    asked = []
    batch = data.batch
    data.batch = lambda indices, draws: asked.append(1) or batch(indices, draws)
    reader = Reader(data, (0,), batch_rows=4)
    assert torch.equal(reader.get(4)["x"], reader.get(4)["x"])
    assert len(asked) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_read_is_named_when_its_batch_is_due(workers):
    order = Order(10, (0,), torch.device("cpu")).permutation(0)
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
from test_reader import Streamed
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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_outlive_ctrl_c_and_sigterm_but_not_their_parent():
    code = PARENT.format(folder=os.path.dirname(__file__))
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


def test_images_become_floats_of_the_default_type_from_minus_one_to_one():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    data = InMemory(
        {"x": pixels, "label": torch.tensor([7])}, {"x": Space("image", (3, 1, 1)), "label": Space("labels", (), 8)}
    )
    batch = Reader(data, (), batch_rows=1).get(1)
    torch.testing.assert_close(batch["x"].flatten(), torch.tensor([-1.0, -0.6, 1.0]))
    assert batch["x"].flatten()[[0, 2]].tolist() == [-1.0, 1.0]
    assert batch["label"].tolist() == [7]
    torch.set_default_dtype(torch.float64)
    try:
        assert Reader(data, (), batch_rows=1).get(1)["x"].dtype == torch.float64
        assert Reader(points(), (), batch_rows=1).get(1)["x"].dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_set_smaller_than_a_batch_is_refused_with_both_numbers():
    with pytest.raises(DataError, match=r"10 items, fewer than one batch of 16; set train.batch_size"):
        Reader(points(), (), batch_rows=16)


def test_read_items_gives_all_items_in_their_order():
    assert torch.cat([b["x"] for b in read_items(points(), rows=4)]).flatten().tolist() == list(range(10))
    assert torch.cat([b["x"] for b in read_items(points(), [3, 1])]).flatten().tolist() == [3, 1]


def test_item_draws_do_not_depend_on_the_batch():
    together = ItemDraws((1,), np.array([0, 0, 1]), np.array([4, 5, 4])).uniform("crop", 2)
    alone = ItemDraws((1,), np.asarray(0), np.array([5])).uniform("crop", 2)
    assert np.array_equal(together[1:2], alone)
    assert not np.array_equal(together[0], together[2])


def test_fingerprints_tell_data_and_settings_apart():
    x = torch.arange(4)
    assert fingerprint(x, 1) == fingerprint(x.clone(), 1)
    assert (
        len(
            {
                fingerprint(x, 1),
                fingerprint(x, 2),
                fingerprint(x + 1, 1),
                fingerprint(x.reshape(2, 2), 1),
                fingerprint(x.float(), 1),
            }
        )
        == 5
    )
    assert fingerprint(["a", "b"]) != fingerprint(["a"], "b")


def test_classes_are_selected_by_name_or_number_in_the_order_given():
    names = ["cat", "dog", "horse"]
    assert selected_classes(names, None) == [0, 1, 2]
    assert selected_classes(names, ["horse", 0]) == [2, 0]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([], "nothing remains"),
        (["hors"], "did you mean 'horse'"),
        ([3], "0 to 2"),
        (["dog", 1], "named twice"),
        (["x"], "there are cat, dog"),
    ],
)
def test_classes_that_cannot_be_selected_are_refused(wanted, message):
    with pytest.raises(DataError, match=message):
        selected_classes(["cat", "dog", "horse"], wanted)
