"""What one process computes of what an evaluator asks for: samples, features and what networks infer, in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganrun.data.value_range import range_of
from ganrun.engine.boundaries import check_shape
from ganrun.evaluation.sources import CHUNK, loaded, real_rows, stored
from ganrun.sampling.turn import chunks

if TYPE_CHECKING:
    from ganrun.evaluation.evaluation import Evaluation

KEPT = 256 << 20  # bytes of fakes that are kept for the next evaluator; more are made again


class Pieces:
    """Computes every ``world``-th chunk. ``made``: fakes by number and entry, kept until the networks have changed."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.made: dict[int, dict[str, dict[int, Tensor]]] = {}

    def of(self, task: tuple[Any, ...], n: int, rank: int, world: int) -> Iterator[Tensor]:
        """The chunks of one process.

        ``samples``: as they are stored; ``features``, ``logits`` and ``inferred``: float32.
        """
        what, *rest = task
        if what == "samples":
            yield from (x for _, x in self._fakes(rest[0], n, rank, world))
            return
        if what == "inferred":
            assert self.evaluation.sample_maker is not None, "asked for without a generator"
            for _, items in real_rows(self.evaluation.dataset(rest[1]), n, rank, world):
                yield self.evaluation.sample_maker.infer(items)[rest[0]]
            return
        part, which, name, split = rest
        extract: Any = self.evaluation.features(part, name)
        function = extract if what == "features" else extract.logits
        for _, x in self._fakes(name, n, rank, world) if which == "fake" else self._reals(name, split, n, rank, world):
            with torch.no_grad():
                found = function(loaded(x))
            if what == "features":
                check_shape(extract, "__call__", found, (len(x), extract.size))
            yield found.float().cpu()

    def _fakes(self, name: str, n: int, part: int, parts: int) -> Iterator[tuple[slice, Tensor]]:
        """Fakes of this process in chunks, as they are stored.

        They are made again if all outputs are too many to keep.
        """
        kept = self.made.get(n)
        if kept is not None:
            yield from ((rows, kept[name][rows.start]) for rows in chunks(n, CHUNK, part, parts))
            return
        outputs, spaces = self.evaluation.description.outputs, self.evaluation.spaces
        row = sum(
            spaces[entry].size * (4 if spaces[entry].kind != "image" or range_of(self.evaluation.source, entry) else 1)
            for entry in outputs
        )  # bytes
        keep = n // parts * row <= KEPT
        made: dict[str, dict[int, Tensor]] = {entry: {} for entry in outputs}
        for rows, items in self.evaluation.source.stream(n, part, parts):
            for entry in outputs if keep else (name,):
                made[entry][rows.start] = stored(items[entry], self.evaluation.source, entry)
            yield rows, made[name][rows.start] if keep else made[name].pop(rows.start)
        if keep:
            self.made[n] = made

    def _reals(self, name: str, split: str, n: int, part: int, parts: int) -> Iterator[tuple[slice, Tensor]]:
        for rows, items in real_rows(self.evaluation.dataset(split), n, part, parts):
            yield rows, stored(items[name], self.evaluation.dataset(split), name)
