"""The Cramér loss: the energy distance between real samples and fakes, in a space that the discriminator learns.

Paper: Bellemare et al., "The Cramer Distance as a Solution to Biased Wasserstein Gradients" (2017), algorithm 1. The
discriminator gives h(x), a vector. With x_r real, x_g and x_g' independent fakes and |.| the Euclidean norm:

    f(x) = |h(x) - h(x_g')| - |h(x)|
    discriminator: -(f(x_r) - f(x_g))
    generator:       f(x_r) - f(x_g)

The mean of f(x_r) - f(x_g) is the energy distance of h(x_r) and h(x_g), with the origin in the place of a second real
sample's h. Both sides' gradients go through h(x_g'), too. The paper adds a ``gradient-penalty`` on f with weight 10:
nothing else bounds h.

Differences from well-known code: it makes a second batch of fakes for x_g'. Here x_g' is the next fake of the same
batch (the first follows the last), which is as independent of x_g and of x_r, so that each summand has the same
expectation; summands of one batch share fakes. In a patch map each patch has a vector (axis 1) and is compared with the
same patch of the next fake.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Round, Stream, hookimpl


class Cramer:
    """Distances between vectors: the discriminator draws real samples and fakes apart, the generator together."""

    provides = frozenset({"batch-coupled", "logit:unbounded"})
    refuses: ClassVar[dict[str, Reason]] = {
        "single-sample": Reason(
            "f compares a fake with another one of its batch; in a batch of one that is itself, at distance 0, "
            "and f(x_g) is -|h(x_g)|",
            "a batch size of 2 or more",
        )
    }
    warns: ClassVar[dict[str, Reason]] = dict.fromkeys(
        ("several-processes", "accumulated"),
        Reason(
            "a fake's neighbour is one of its part of the batch, so the pairs are others than in one piece",
            "larger parts: fewer processes, and train.accumulate: 1",
        ),
    )
    wants: ClassVar[dict[str, Reason]] = {
        "slope-bounded": Reason(
            "distances between vectors h(x) grow with h, and nothing bounds h here, so the loss falls without limit",
            "gradient-penalty",
        )
    }
    real_in_generator = True
    score_sees = frozenset({"fake"})
    logits = 256

    def __init__(
        self, *, dimensions: Annotated[int, Field(ge=1, description="size of the vectors h(x)")] = 256
    ) -> None:
        self.logits = dimensions

    def score(self, round: Round, logits: Tensor) -> Tensor:
        """f of vectors (B, K, ...), with the round's fakes as x_g', (B, ...)."""
        return potential(round, logits).to(logits.dtype)

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> -f on real samples, f on fakes, (B, ...)."""
        return {
            s: -potential(round, s.logits) if s.role == "real" else potential(round, s.logits) for s in round.streams
        }

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> f on real samples, -f on fakes, (B, ...)."""
        return {
            s: potential(round, s.logits) if s.role == "real" else -potential(round, s.logits) for s in round.streams
        }


def potential(round: Round, h: Tensor) -> Tensor:
    """f of vectors (B, K, ...) -> (B, ...); x_g' of a row is the fake of the next row.

    Of several streams of fakes the mean. At least float32: norms are subtracted.
    """
    others = [_vectors(fake.logits).roll(-1, 0) for fake in round.of("fake")]  # (B, K, ...) each
    h = _vectors(h)
    return torch.stack([norm(h - other) for other in others]).mean(0) - norm(h)


def norm(v: Tensor) -> Tensor:
    """(B, K, ...) -> (B, ...): the Euclidean norm over axis 1; at the zero vector all its derivatives are zero."""
    square = v.square().sum(1)
    is_zero = square == 0
    return torch.where(is_zero, 0.0, torch.where(is_zero, 1.0, square).sqrt())


def _vectors(logits: Tensor) -> Tensor:
    """Logits as vectors (B, K, ...): a discriminator of one dimension returns (B,)."""
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return precise.unsqueeze(1) if precise.dim() == 1 else precise


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "cramer", Cramer)
