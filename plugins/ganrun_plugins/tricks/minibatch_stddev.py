"""Minibatch standard deviation: the discriminator is given how much the samples of a batch differ.

Paper: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (2017), section 3:
the standard deviation over a group of samples of every feature at every position, averaged over features and positions
into one number, which all samples of the group get as one more feature map:

    s = mean over c, h, w of sqrt( mean over the group of (x - mean over the group)^2 + 1e-8 )

Groups of 4 as in the authors' code: sample i is with i + B/4, i + 2B/4, ... If 4 does not divide the batch, groups
have the size of its largest smaller divisor (or, where that is 1, its smallest larger one: a sample alone does not
differ). The map is joined to the input of the last layer on the way to the logits, whatever the architecture (the
paper: towards the end of the discriminator, before a 3 x 3 convolution). ``strength`` scales what that layer makes of
it.

The statistic is of one forward: of real samples or of fakes, of one process, of one micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Experiment, Reason, Scheduled, hookimpl
from ganrun_plugins._group_deviation import GroupDeviation
from ganrun_plugins.tricks._layers import Strength, join


class MinibatchStddev(Strength):
    """Joins the standard deviation within groups of samples to the last layer of every discriminator."""

    strength: ClassVar[str] = "strength"
    remedies: ClassVar[frozenset[str]] = frozenset({"mode-collapse", "missing-diversity"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there is no discriminator that could be given how much samples differ", "a variant with a game")
    }
    refuses: ClassVar[dict[str, Reason]] = {
        "single-sample": Reason(
            "a discriminator sees one sample at a time, whose standard deviation over the group is 0 "
            "whatever it looks like",
            "train.batch_size of at least two packs",
        )
    }
    warns: ClassVar[dict[str, Reason]] = {
        "joint-batches": Reason(
            "real samples and fakes share a forward, so a group mixes both and its standard deviation "
            "shows little of either",
            "train.batches: separate",
        ),
        "accumulated": Reason(
            "groups are taken from a micro-batch, not from the whole batch of a step",
            "a larger train.batch_size with a smaller train.accumulate",
        ),
    }

    def __init__(
        self,
        *,
        group: Annotated[int, Field(ge=2, description="samples whose standard deviation is taken together")] = 4,
        strength: Annotated[
            Scheduled, Field(ge=0, description="factor of what the discriminator makes of the statistic")
        ] = Scheduled(1.0),
    ) -> None:
        self.group = group
        super().__init__(strength)

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        for name in experiment.networks("discriminator"):
            self.layers.append(
                join(experiment, name, "minibatch_stddev", lambda channels, last: GroupDeviation(self.group), 1)
            )


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "minibatch-stddev", MinibatchStddev)
