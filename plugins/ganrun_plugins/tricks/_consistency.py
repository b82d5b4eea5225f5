"""What the consistency tricks share: the transformation T, and the squared distance of two outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import DiscriminatorOutput, Experiment, Reason, Role, Round, Scheduled, Stream, Turn, hookimpl

DETERMINISTIC = Reason(
    "it asks two calls of the discriminator to agree, and dropout or noise between its layers makes them differ for "
    "one and the same sample",
    "a discriminator without dropout and noise",
)
ALONE = Reason(
    "the first scores are from a batch of real samples and fakes, the second from a batch of its own: "
    "a discriminator that uses its whole batch, by BatchNorm or by statistics, "
    "gives two scores even of one and the same sample",
    "train.batches: separate, or a discriminator that scores each sample alone",
)
NEEDS_A_GAME = Reason("there is no discriminator whose scores could be made consistent", "a variant with a game")


@dataclass(frozen=True)
class Transform:
    """T: changes to which a discriminator should be invariant.

    Images (B, C, H, W) are mirrored with probability 1/2, if ``flip``, and shifted down and right by whole pixels,
    drawn from -k to k with k = floor(``shift`` * side); what moves in is 0. Images among what is given are moved alike.
    Samples of any other space get normal noise of standard deviation ``sigma``; what is given with them stays.
    """

    flip: bool
    shift: Scheduled
    sigma: Scheduled

    def __call__(
        self, turn: Turn, round: Round, x: Tensor, given: Sequence[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """T of samples (B, ...) and of what is given with them."""
        if round.game.space != "image":
            noise = turn.draws.normal("consistency noise", *x.shape).to(x.dtype)  # (B, ...)
            return x + turn.now(self.sigma) * noise, tuple(given)
        mirrored = turn.draws.uniform("consistency flip", x.shape[0]) < 0.5 * self.flip  # (B,)
        share = turn.draws.uniform("consistency shift", x.shape[0], 2)  # (B, 2)
        limit = turn.now(self.shift)
        spaces = turn.interfaces[round.game.discriminator].given
        moved = [moved_image(t, mirrored, share, limit) if s.kind == "image" else t for t, s in zip(given, spaces)]
        return moved_image(x, mirrored, share, limit), tuple(moved)


def moved_image(x: Tensor, mirrored: Tensor, share: Tensor, limit: float) -> Tensor:
    """x: (B, C, H, W). mirrored: (B,) bool.

    share: (B, 2) in [0, 1), from the largest shift up (left) to that down (right).
    """
    rows, height, width = x.shape[0], x.shape[2], x.shape[3]
    down, right = int(limit * height), int(limit * width)
    flipped = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    padded = F.pad(flipped, (right, right, down, down))  # (B, C, H + 2 down, W + 2 right)
    y = places(share[:, 0], height, down)  # (B, H)
    z = places(share[:, 1], width, right)  # (B, W)
    batch = torch.arange(rows, device=x.device)
    # (B, H, W, C) -> (B, C, H, W)
    return padded[batch[:, None, None], :, y[:, :, None], z[:, None, :]].permute(0, 3, 1, 2)


def places(share: Tensor, side: int, most: int) -> Tensor:
    """share (B,) in [0, 1) -> (B, side) int64: where each pixel of a shifted side comes from, among side + 2 most."""
    shift = (share * (2 * most + 1)).long() - most  # -most ... most, each as likely as the others
    return torch.arange(side, device=share.device)[None, :] + most - shift[:, None]


Flip = Annotated[bool, Field(description="whether images are mirrored, with probability 1/2")]
Shift = Annotated[Scheduled, Field(ge=0, lt=1, description="largest shift of images, as a share of each side")]
Sigma = Annotated[Scheduled, Field(ge=0, description="standard deviation of the noise on points and latents")]
Heads = Annotated[bool, Field(description="whether the discriminator's extra heads are compared, too")]


class ConsistencyTerms:
    """Adds, on the discriminator's side, the squared difference of outputs of samples and of transformed copies.

    terms: name of a term -> the role whose samples it is of, and the factors of its weight.
    """

    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset({"overfitting-discriminator", "saturated-discriminator"})
    needs: ClassVar[dict[str, Reason]] = {"game": NEEDS_A_GAME}
    warns: ClassVar[dict[str, Reason]] = {"discriminator:dropout": DETERMINISTIC, "joint-batches": ALONE}

    def __init__(
        self, terms: Mapping[str, tuple[Role, Sequence[Scheduled]]], transform: Transform, heads: bool
    ) -> None:
        self.terms = terms
        self.transform = transform
        self.heads = heads
        self.augmented = False

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self.augmented = is_augmented(experiment)

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for round in turn.rounds:
            for name, (role, weights) in self.terms.items() if round.side == "discriminator" else ():
                value = consistency(turn, round, role, self.transform, augmented=self.augmented, heads=self.heads)
                turn.add(f"{round.game.name}.{name}", value, math.prod(map(turn.now, weights)))


def is_augmented(experiment: Experiment) -> bool:
    """Whether a part of the recipe augments what discriminators see."""
    return experiment.provides("augmented")


def consistency(turn: Turn, round: Round, role: Role, transform: Transform, *, augmented: bool, heads: bool) -> Tensor:
    """The mean over a role's samples of (D(x) - D(T x))^2; neither branch is detached.

    With an augmentation in the recipe D(x) has seen augmented samples, so it is compared with samples as they are.
    """
    found = []
    for stream in round.of(role):
        x, given = (stream.x, stream.given) if augmented else transform(turn, round, stream.x, stream.given)
        through = ("corrupt", "pack") if augmented else None
        other = turn.discriminate(round, x, given, role=role, tag="consistency", through=through)
        found.append(distance(output_of(stream), other, heads=heads))
    return torch.cat(found).mean()


def output_of(stream: Stream) -> DiscriminatorOutput:
    """What the round's discriminator returned for a stream."""
    assert stream.output is not None, "rounds are scored before the event `losses`"
    return stream.output


def distance(one: DiscriminatorOutput, other: DiscriminatorOutput, *, heads: bool) -> Tensor:
    """(B,): the squared distance of two outputs of the same samples, with ``heads`` plus that of each extra head."""
    found = squared(one.logits, other.logits)
    for name in one.heads if heads else ():
        found = found + squared(one.heads[name], other.heads[name])
    return found


def squared(one: Tensor, other: Tensor) -> Tensor:
    """(B,), (B, K) or (B, K, h, w) -> (B,): the squared norm over axis 1, the mean over patches. At least float32."""
    dtype = torch.promote_types(one.dtype, torch.float32)
    squares = (one.to(dtype) - other.to(dtype)).square()
    if squares.dim() == 1:
        return squares
    per_patch = squares.sum(1)  # (B,) or (B, h, w)
    return per_patch.flatten(1).mean(1) if per_patch.dim() > 1 else per_patch
