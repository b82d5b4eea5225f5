"""Label flipping: now and then the discriminator is trained on a real sample as fake, and on a fake as real.

Source: Chintala, Denton, Arjovsky and Mathieu, "How to Train a GAN? Tips and tricks to make GANs work" (2016), tip 6:
make the labels noisy, occasionally flip them when the discriminator is trained. With probability p a sample's target is
replaced by the other role's:

    target(x) <- target of the other role, with probability p, drawn per sample (for all its patches)

The optimal discriminator of a cross-entropy then answers p + (1 - 2p) D(x) instead of D(x): it is never certain.
``which: real`` flips real samples alone, which lowers their target and leaves that of fakes alone, as one-sided
smoothing does.

The other role's target is what stands in the round when this trick's turn comes, so flipping after label-smoothing
swaps smoothed targets; smoothing listed after flipping writes over the flips. Where a loss compares a real sample with
a fake, ``both`` flips the two of a pair together, so that the pair is asked for the opposite order. Only the
discriminator's side has targets; the generator's is never touched. The default flips one in twenty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Role, Round, Scheduled, Turn, hookimpl

OTHER: dict[Role, Role] = {"real": "fake", "fake": "real"}


class LabelFlipping:
    """Gives samples the other role's target with probability p, on the discriminator's side."""

    strength: ClassVar[str] = "p"
    remedies: ClassVar[frozenset[str]] = frozenset({"saturated-discriminator", "overfitting-discriminator"})
    needs: ClassVar[dict[str, Reason]] = {
        "targets": Reason(
            "this loss compares the logits with nothing, so there is no target that could be flipped",
            "a loss with targets, such as non-saturating or least-squares",
        )
    }
    warns: ClassVar[dict[str, Reason]] = {
        "logit:relative": Reason(
            "this loss compares real samples with fakes: a flipped target asks for the opposite order, "
            "and of one sample alone it pulls against the other half of the same comparison",
            "which: both, which flips the two of a pair together; or leave label-flipping out",
        )
    }

    def __init__(
        self,
        *,
        p: Annotated[
            Scheduled, Field(ge=0, le=1, description="probability that a sample's target is the other role's")
        ] = Scheduled(0.05),
        which: Annotated[
            Literal["real", "both"], Field(description="flip real samples alone, or fakes as well")
        ] = "both",
    ) -> None:
        self.p = p
        self.which = which

    @hookimpl
    def targets(self, turn: Turn, round: Round) -> None:
        before: dict[Role, list[Tensor | None]] = {role: [stream.target for stream in round.of(role)] for role in OTHER}
        loss: Any = turn.loss(round.game.name)  # of a round with targets, so it has some
        paired = self.which == "both" and "logit:relative" in loss.provides
        masks: list[Tensor] = []  # of the real streams, in their order
        roles: tuple[Role, ...] = ("real", "fake") if self.which == "both" else ("real",)
        for role in roles:
            for number, stream in enumerate(round.of(role)):
                if stream.target is None:
                    continue
                rows = len(stream.target)
                if paired and role == "fake" and number < len(masks) and len(masks[number]) == rows:
                    mask = masks[number]
                else:
                    mask = turn.draws.uniform("label-flipping", rows) < turn.now(self.p)  # (B,)
                    masks.append(mask)
                opposite = _opposite(before[OTHER[role]], number, stream.target)
                if opposite is None:
                    opposite = torch.full_like(stream.target, turn.now(loss.targets(OTHER[role])))
                stream.target = torch.where(mask.reshape(-1, *[1] * (stream.target.dim() - 1)), opposite, stream.target)


def _opposite(standing: list[Tensor | None], number: int, target: Tensor) -> Tensor | None:
    """The target of the stream opposite, (B, ...) as ``target``; None if there is none, or of another shape."""
    found = standing[number % len(standing)] if standing else None
    return found if found is not None and found.shape == target.shape else None


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "label-flipping", LabelFlipping)
