"""A turn outside training: what a trick that changes sampling works with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import torch
from torch import Tensor

from ganrun.contracts.protocols import Dataset
from ganrun.data.order import sample_rows
from ganrun.data.reader import read_items
from ganrun.engine.turn import Turn
from ganrun.randomness import Draws, stable_hash
from ganrun.words.game import Role, Round, Stream


class SamplingTurn(Turn):
    """A turn in which samples are made outside training; ``sample`` is the only event of it.

    Networks are in the weights and modes of sampling, and no gradient is recorded (``torch.enable_grad`` does). Row i
    is to depend on the turn's key and on i alone, not on how many rows there are: ``draws`` are such, on a CPU.
    Several processes draw the same; each makes some of the rows, in chunks.
    """

    chunk = 256  # rows made at a time
    part_of_rows, parts_of_rows = 0, 1  # this process makes every parts-th chunk

    def chunks(self) -> list[slice]:
        """The rows that this process makes, a chunk at a time. Only these rows of what is chosen are used."""
        return chunks(self.rows, self.chunk, self.part_of_rows, self.parts_of_rows)

    def another(self, purpose: str, number: int = 0, *, real: Mapping[str, Tensor] | None = None) -> Self:
        """A turn like this one in which nothing is drawn or made, with draws of its own.

        purpose, number: the key of its draws. real: other real items, which also set the number of rows.
        """
        key = (*self.draws.key, purpose, number)
        return self.fresh(Draws(key, device=self.draws.device, by_row=real is None), real)

    def draw(self) -> dict[str, Tensor]:
        """Fill ``latents`` with what the variant draws, without what tricks make of it; returns them."""
        self.variant.sample(self)
        return self.latents

    def make(self) -> dict[str, Tensor]:
        """Fill ``made`` with what the variant makes of ``latents`` and real items; returns it."""
        self._engine.seed_forward(self, stable_hash(*self.draws.key, "make"))
        self.variant.make(self)
        return self.made

    def with_latents(self, latents: Mapping[str, Tensor]) -> Self:
        """This turn with other latents (by name, the rest stay) and with what the variant makes of them.

        Differentiable in the latents where gradients are enabled.
        """
        other = self._copy(latents={**self.latents, **latents}, made={})
        other.make()
        return other

    def total_score(self, role: Role) -> Tensor:
        """The score of this turn's streams of a role: their mean in every game, summed over the games, (rows,).

        Larger is more real; of patches the mean. Discriminators see them without augmentation and noise.
        """
        self.wanted = {role}.union(*(getattr(self.loss(game), "score_sees", ()) for game in self.games))
        streams: dict[str, list[Stream]] = self.variant.streams(self)
        rounds = [Round(game, "watcher", streams.get(game.name, []), self.now) for game in self.games.values()]
        return torch.stack([self._game_score(round, role) for round in rounds if round.of(role)]).sum(0)

    def _game_score(self, round: Round, role: Role) -> Tensor:
        shown = round.of(role)
        self.send(round, shown)
        scores = torch.stack([self.score(round, stream.output) for stream in shown if stream.output is not None]).mean(
            0
        )
        per_sample = scores.flatten(1).mean(1) if scores.dim() > 1 else scores
        return per_sample.to(torch.promote_types(scores.dtype, torch.float32))

    def scores(self, latents: Mapping[str, Tensor], purpose: str) -> Tensor:
        """:meth:`total_score` of the samples of some latents, in chunks: (rows,). 0 for rows of other processes."""
        found = torch.zeros(self.rows, device=self.device)
        for rows in self.chunks():
            piece = self.part(rows).another(purpose)
            piece.latents = {name: z[rows] for name, z in latents.items()}
            piece.make()
            scores = piece.total_score("fake")
            found = found.to(scores.dtype)
            found[rows] = scores
        return found

    def items(self, split: str, purpose: str, count: int) -> Iterator[dict[str, Tensor]]:
        """At most ``count`` items of a split of the data, a fair draw, in chunks: name -> (n, ...) on the device.

        purpose: the key of their crops and whatever else is drawn for an item.
        """
        held: Dataset = self._engine.experiment.data(split)
        drawn = sample_rows(held, range(min(count, len(held))))
        yield from read_items(held, drawn, rows=self.chunk, key=(purpose,), device=self.device)


def chunks(n: int, size: int, part: int = 0, parts: int = 1) -> list[slice]:
    """Rows 0 to n in chunks of ``size``: every ``parts``-th of them, from chunk ``part`` on."""
    return [slice(start, min(start + size, n)) for start in range(part * size, n, parts * size)]
