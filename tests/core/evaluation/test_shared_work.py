"""Work that processes share: who does which rows, what comes back, what happens when one fails.

Threads stand for processes.
"""

import threading

import pytest
import torch

from ganrun.errors import UserError
from ganrun.evaluation.shared_work import Sharing
from ganrun.sampling.turn import chunks

LIMIT = 20  # seconds until a thread counts as waiting for ever


class Thread:
    """What the sharing needs of a process: rank and world, and two ways to talk in which all have to take part."""

    def __init__(self, rank, world, table, barrier):
        self.rank, self.world, self.is_main = rank, world, rank == 0
        self.table, self.barrier = table, barrier

    def gather(self, value):
        self.table["gather", self.rank] = value
        self.barrier.wait(LIMIT)
        found = [self.table["gather", rank] for rank in range(self.world)]
        self.barrier.wait(LIMIT)
        return found

    def broadcast(self, value):
        if self.is_main:
            self.table["broadcast"] = value
        self.barrier.wait(LIMIT)
        found = self.table["broadcast"]
        self.barrier.wait(LIMIT)
        return found


@pytest.fixture
def run():
    """A function: what ``ask`` gives in the main one of some processes that all do ``work``, and how the others end."""

    def start(world, work, ask):
        table, barrier, ends = {}, threading.Barrier(world), {}

        def process(rank):
            sharing = Sharing(Thread(rank, world, table, barrier), work)
            try:
                with sharing.together() as leading:
                    ends[rank] = ask(sharing) if leading else "helped"
            except Exception as error:
                ends[rank] = error

        threads = [threading.Thread(target=process, args=(rank,), daemon=True) for rank in range(world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert len(ends) == world, "somebody waits for ever"
        return ends

    return start


def counting(task, n, part, parts):
    """Row i is (i, rank of its process)."""
    for rows in chunks(n, 256, part, parts):
        yield torch.stack([torch.arange(rows.start, rows.stop), torch.full((rows.stop - rows.start,), part)], 1)


@pytest.mark.parametrize("n", [1, 256, 257, 1000, 1536])
def test_rows_come_back_in_order_each_chunk_from_another_process(run, n):
    ends = run(3, counting, lambda sharing: sharing.ask(("rows",), n))
    assert ends[0][:, 0].tolist() == list(range(n))
    assert ends[0][:, 1].tolist() == [(i // 256) % 3 for i in range(n)]
    assert ends[1] == ends[2] == "helped"


def test_several_tasks_follow_each_other(run):
    ends = run(
        2,
        lambda task, n, part, parts: (x * task[0] for x in counting(task, n, part, parts)),
        lambda s: [s.ask((k,), 300) for k in (1, 5)],
    )
    one, five = ends[0]
    assert torch.equal(five, 5 * one)


def test_the_work_comes_to_its_end_in_all_processes(run):
    ended = []

    def work(task, n, part, parts):
        yield from counting(task, n, part, parts)
        ended.append(part)

    run(3, work, lambda sharing: sharing.ask(("rows",), 300))
    assert sorted(ended) == [0, 1, 2], "what it keeps at its end is kept"


def test_pictures_that_are_not_finite_in_one_process_make_all_of_them_floats(run):
    def work(task, n, part, parts):
        for rows in chunks(n, 256, part, parts):
            levels = torch.full((rows.stop - rows.start, 1), 255, dtype=torch.uint8)
            yield levels if rows.start != 256 else torch.full((rows.stop - rows.start, 1), torch.inf)

    found = run(2, work, lambda sharing: sharing.ask(("samples",), 600))[0]
    assert found.flatten().tolist() == [1.0] * 256 + [torch.inf] * 256 + [1.0] * 88
    assert run(2, work, lambda sharing: sharing.ask(("samples",), 100))[0].dtype == torch.uint8


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_who_fails_ends_all_and_the_main_one_says_why(run, rank):
    def work(task, n, part, parts):
        for number, rows in enumerate(counting(task, n, part, parts)):
            if part == rank and number == 1:
                raise UserError(f"broken in {part}")
            yield rows

    ends = run(3, work, lambda sharing: sharing.ask(("rows",), 2000))
    assert isinstance(ends[0], UserError)
    assert str(ends[0]) == f"broken in {rank}"
    assert [str(ends[other]) for other in (1, 2)] == [
        f"process {other} ends, too: the evaluation failed in the main process" for other in (1, 2)
    ]


def test_an_error_that_is_nobodys_to_mend_keeps_its_traceback(run):
    ends = run(2, lambda *of: (1 / 0 for _ in range(1)), lambda sharing: sharing.ask(("rows",), 10))
    assert isinstance(ends[0], RuntimeError)
    assert "process 0 failed" in str(ends[0])
    assert "ZeroDivisionError" in str(ends[0])


def test_a_failure_that_was_caught_leaves_the_others_ready(run):
    def work(task, n, part, parts):
        if task[0] == "bad" and part == 1:
            raise UserError("bad")
        yield from counting(task, n, part, parts)

    def ask(sharing):
        with pytest.raises(UserError, match="bad"):
            sharing.ask(("bad",), 600)
        return sharing.ask(("good",), 600)

    ends = run(2, work, ask)
    assert ends[0][:, 0].tolist() == list(range(600))
    assert ends[1] == "helped"


def test_an_evaluator_that_fails_without_asking_ends_the_others(run):
    def ask(sharing):
        raise UserError("no")

    ends = run(2, counting, ask)
    assert str(ends[0]) == "no"
    assert isinstance(ends[1], UserError)


def test_one_process_does_everything_itself():
    sharing = Sharing(None, counting)
    with sharing.together() as leading:
        assert leading
        assert sharing.ask(("rows",), 600)[:, 0].tolist() == list(range(600))
    with pytest.raises(UserError, match="there are no samples"):
        sharing.ask(("rows",), 0)
