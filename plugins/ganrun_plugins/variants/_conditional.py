"""What variants with labels share: a game in which both networks are given a label."""

from __future__ import annotations

from collections.abc import Mapping

from ganrun.plugin import Description, Interface, Network, Refusal, Space, Stream, Turn
from ganrun_plugins.variants._game import OneGame

LABEL = "label"  # the entry of the data, and the latent of the same name


def labels_of(spaces: Mapping[str, Space]) -> Space:
    """The space of the data's labels. Raises :class:`Refusal` if they have none."""
    space = spaces.get(LABEL)
    if space is None or space.kind != "labels":
        raise Refusal(
            f"this variant learns from labels, the entry '{LABEL}' of the data; "
            f"the data set has {', '.join(sorted(spaces)) or 'none'}",
            "take a data set with labels, or variant: gan",
        )
    return space


class Conditional(OneGame):
    """One game, with a label given to both networks."""

    labels: Space

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with entries ``x`` and ``label``."""
        self.labels = labels_of(spaces)
        description = super().describe(spaces)
        description.networks = {
            "generator": Network("generator", Interface(takes=self.latent, makes=spaces["x"], given=(self.labels,))),
            "discriminator": Network("discriminator", Interface(takes=spaces["x"], given=(self.labels,))),
        }
        description.codes = {LABEL: self.labels}
        return description

    def sample(self, turn: Turn) -> None:
        super().sample(turn)
        turn.draw_labels(LABEL, self.labels)

    def make(self, turn: Turn) -> None:
        turn.made["x"] = turn.modules["generator"](turn.latents["z"], turn.latents[LABEL])

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        streams = (
            [Stream(turn.real["x"], "real", given=(turn.real[LABEL],))] if turn.wants("adversarial", "real") else []
        )
        if turn.wants("adversarial", "fake"):
            streams.append(Stream(turn.made["x"], "fake", given=(turn.latents[LABEL],), latent=turn.latents["z"]))
        return {"adversarial": streams}
