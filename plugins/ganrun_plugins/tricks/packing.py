"""Packing (PacGAN): the discriminator scores m independent samples at once, so it sees that a generator repeats itself.

Paper: Lin, Khetan, Fanti and Oh, "PacGAN: The power of two samples in generative adversarial networks" (2018), section
2: a discriminator D(x1, ..., xm) of m samples of one role, joined along the channels (images) or coordinates (points).
Its first layer grows, nothing else changes. A pack of fakes that lack modes differs more from a pack of real samples
than one fake does from one real sample.

    (B, C, ...) -> (B / m, m * C, ...): m neighbouring rows are one pack, whose weight is the mean of theirs

What is given with samples is joined likewise: labels (B,) -> (B / m, m), images along channels, vectors end to end. A
gradient penalty sees one logit a pack, and gradients (B, C, ...) reshaped to (B / m, -1) have one norm a pack.
Two instances multiply: each packs by its own m in turn.

Differences from well-known code: a batch of B samples makes B / m packs here. The authors' code draws m * B samples for
B packs; multiply batch_size by m for as many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Call, Component, Experiment, Plan, Reason, Refusal, Turn, hookimpl


class Packing:
    """Joins m neighbouring samples of every call of a discriminator."""

    strength: ClassVar[str] = "m"
    neutral: ClassVar[int] = 1
    remedies: ClassVar[frozenset[str]] = frozenset({"mode-collapse", "missing-diversity"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there is no discriminator that could score several samples at once", "a variant with a game")
    }

    def __init__(
        self, *, m: Annotated[int, Field(ge=1, description="samples that a discriminator scores at once")] = 2
    ) -> None:
        self.m = m
        self.provides = frozenset({"packed"} if m > 1 else ())

    @hookimpl
    def plan(self, plan: Plan) -> None:
        for name in {game.discriminator for game in plan.description.games}:
            plan.description.networks[name].interface.pack *= self.m

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        rows = experiment.recipe.train.batch_size
        for name in sorted({game.discriminator for game in experiment.games}):
            pack = experiment.description.networks[name].interface.pack
            if rows % pack:
                lower, upper = rows - rows % pack, rows - rows % pack + pack
                sizes = " or ".join(str(size) for size in (lower, upper) if size)
                raise Refusal(
                    f"{name} scores packs of {pack} samples, and a batch of {rows} is no whole number of packs",
                    f"train.batch_size: {sizes}, or another m",
                )

    @hookimpl
    def pack(self, turn: Turn, call: Call) -> None:
        call.x = joined(call.x, self.m)
        call.given = tuple(joined(given, self.m) for given in call.given)
        if isinstance(call.weight, Tensor):
            call.weight = call.weight.reshape(-1, self.m).mean(1)  # (B,) -> (B / m,)


def joined(rows: Tensor, m: int) -> Tensor:
    """(B, C, ...) -> (B / m, m * C, ...); labels (B,) -> (B / m, m). Each pack is m neighbouring rows."""
    if rows.dim() == 1:
        return rows.reshape(-1, m).squeeze(1)  # packs of one keep their shape
    return rows.reshape(rows.shape[0] // m, m * rows.shape[1], *rows.shape[2:])


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "packing", Packing)
