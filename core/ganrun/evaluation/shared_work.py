"""Rows that the main process asks for and all processes make: the others wait for its tasks until it is done."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganrun.distributed import Processes
from ganrun.errors import UserError
from ganrun.evaluation.sources import CHUNK, loaded
from ganrun.progress import progress_bar
from ganrun.sampling.turn import chunks

DONE, FAILED = "done", "failed"  # how the main process's work ended, as the others receive it

Task = tuple[Any, ...]
Work = Callable[[Task, int, int, int], Iterator[Tensor]]


@dataclass(frozen=True)
class FailedShare:
    """An error of one process, on its way to the main one. mendable: it is a UserError; trace: where it came from."""

    text: str
    mendable: bool
    trace: str

    def throw(self, rank: int) -> None:
        """Raise it again in this process."""
        if self.mendable:
            raise UserError(self.text)
        raise RuntimeError(f"process {rank} failed:\n{self.trace}")


class Sharing:
    """Shares tasks over processes, chunk by chunk, so that no process holds all rows but the main one.

    work: (task, n, part, parts) -> the rows of every parts-th chunk of n from chunk ``part`` on, chunk by chunk. A task
    is a tuple that can be pickled.
    """

    def __init__(self, processes: Processes | None, work: Work) -> None:
        self.processes = processes if processes is not None and processes.world > 1 else None
        self.work = work

    @contextmanager
    def together(self) -> Iterator[bool]:
        """For all processes: the main one gets True and may ask, the others help it until it is done.

        Raises:
            UserError: in the others, if it failed.
        """
        processes = self.processes
        if processes is None:
            yield True
        elif not processes.is_main:
            while isinstance(asked := processes.broadcast(None), tuple):
                task, n = asked
                for answers in self._rounds(processes, task, n):
                    if any(isinstance(answer, FailedShare) for answer in answers):
                        break
            if asked == FAILED:
                raise UserError(f"process {processes.rank} ends, too: the evaluation failed in the main process")
            yield False
        else:
            try:
                yield True
            except BaseException:
                processes.broadcast(FAILED)
                raise
            processes.broadcast(DONE)

    def ask(self, task: Task, n: int) -> Tensor:
        """What a task gives for n rows.

        As the work gives it, or float32 if some of it is float32 and some is pictures as stored.

        Raises:
            UserError: for one of any process. Another error is a RuntimeError with its traceback.
        """
        if self.processes is None:
            return _joined(([piece] for piece in self.work(task, n, 0, 1)), n, 1, _words(task))
        self.processes.broadcast((task, n))
        return _joined(self._rounds(self.processes, task, n), n, self.processes.world, _words(task))

    def _rounds(self, processes: Processes, task: Task, n: int) -> Iterator[list[Any]]:
        """The chunks of all processes, one of each at a time: by rank, None where there is no more.

        A failure is the last.
        """
        with closing(self._answers(processes, task, n)) as mine:
            for _ in chunks(n, CHUNK, 0, processes.world):
                yield processes.gather(next(mine, None))
            next(mine, None)  # so that it comes to its end

    def _answers(self, processes: Processes, task: Task, n: int) -> Any:
        """The chunks of this process, or why there are no more.

        Who fails has to answer, too, or all others would wait for ever.
        """
        try:
            yield from self.work(task, n, processes.rank, processes.world)
        except Exception as error:
            yield FailedShare(str(error), isinstance(error, UserError), "".join(traceback.format_exception(error)))


def _words(task: Task) -> str:
    """What a task does, for people who wait."""
    what, *rest = task
    if what == "samples":
        return "making samples"
    if what == "inferred":
        return f"inferring {rest[0]} of {rest[1]} items"
    if what not in ("features", "logits"):
        return str(what)
    part, which, _, split = rest
    return f"{what} {getattr(part, 'name', part)} of {'samples' if which == 'fake' else f'{split} items'}"


def _joined(rounds: Iterator[list[Any]], n: int, world: int, what: str) -> Tensor:
    """The chunks of all processes in their order, (n, ...). what: is shown to people who wait."""
    with progress_bar(what, n) as update:
        return _collected(rounds, n, world, update)


def _collected(rounds: Iterator[list[Any]], n: int, world: int, update: Callable[[int], None]) -> Tensor:
    found: Tensor | None = None
    start = 0
    for answers in rounds:
        for rank, piece in enumerate(answers):
            if isinstance(piece, FailedShare):
                piece.throw(rank)
            if piece is None:
                continue
            if found is None:
                found = torch.empty(n, *piece.shape[1:], dtype=piece.dtype)
            if found.dtype != piece.dtype:
                found, piece = loaded(found), loaded(piece)
            found[start : start + len(piece)] = piece
            start += len(piece)
            update(start)
    if found is None:
        raise UserError("there are no samples; ask for at least one, or give a data set that is not empty")
    return found
