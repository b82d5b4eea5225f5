"""What several variants share: fresh latents for every turn, and more fakes for the generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from ganrun.plugin import Description, Space, Turn, hookimpl
from ganrun_plugins.variants._game import First, OneGame

GeneratorBatch = Annotated[int, Field(ge=1, description="fakes of a generator's turn, as a multiple of the batch size")]


class Fresh(OneGame):
    """The game of ``gan`` in which no turn uses another one's fakes."""

    def __init__(self, *, latent: int = 100, first: First = "discriminator", generator_batch: int = 1) -> None:
        super().__init__(latent=latent, first=first)
        self.generator_batch = generator_batch

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        description = super().describe(spaces)
        description.reuse_fakes = False
        return description

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        if turn.player == "generator":
            turn.copies *= self.generator_batch
