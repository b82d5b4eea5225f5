"""Latents of two kinds: noise from one distribution, and codes, the latents that mean something, from another.

Chen et al., "InfoGAN" (2016), take both from [-1, 1] for MNIST; other code has normal noise and uniform codes, the
defaults here. Which latents are codes is what the variant says (``codes`` of its description), by name; all others are
noise. Categorical codes are labels, which this does not draw: all classes are equally likely.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Draws, Experiment, Part, PartOf, Refusal, Space, hookimpl


class InfoGANCodes:
    """Asks one sampler for noise and another for codes."""

    def __init__(
        self,
        *,
        noise: Annotated[Part, PartOf("sampler", default="normal"), Field(description="draws all other latents")],
        codes: Annotated[Part, PartOf("sampler", default="uniform"), Field(description="draws the variant's codes")],
    ) -> None:
        self.noise: Any = noise.make()
        self.codes: Any = codes.make()
        if hasattr(self.noise, "labels") or hasattr(self.codes, "labels"):
            why = "it draws no labels, so a sampler of labels inside it would never be used"
            raise Refusal(why, "sampler: {labels: {latents: infogan-codes}}")
        self.names: frozenset[str] = frozenset()
        provided = [frozenset(getattr(sampler, "provides", ())) for sampler in (self.noise, self.codes)]
        self.provides = provided[0] & provided[1]  # what holds of latents holds of all of them

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Learn the names of the codes. The two samplers get the experiment, too."""
        self.names = frozenset(experiment.description.codes)
        for sampler in (self.noise, self.codes):
            if hasattr(sampler, "build"):
                sampler.build(experiment)

    def sample(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows, (n, *space.shape)."""
        found: Tensor = (self.codes if purpose in self.names else self.noise).sample(draws, purpose, n, space)
        return found


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("sampler", "infogan-codes", InfoGANCodes)
