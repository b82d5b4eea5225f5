"""Conditional GAN: generator and discriminator are both told the class, so samples can be asked for by class.

Paper: Mirza and Osindero, "Conditional Generative Adversarial Nets" (2014):

    min_G max_D  E log D(x | y) + E log(1 - D(G(z | y) | y))

Real samples come with their own label. For fakes labels are drawn, all classes equally likely (or as the sampler
``labels`` says), and the discriminator sees the label that a fake was made for. How a label enters a network is the
network's parameter ``labels``: one-hot as in the paper, an embedding, a projection or a linear map
(``networks/_labels.py``).

The defaults are the conditional GAN as courses teach it: the perceptrons of ``gan``, one-hot labels joined to their
inputs, Adam, the non-saturating loss. The paper's own networks are ``maxout-mlp``, its settings
``recipes/cgan_mnist.yaml``.

Differences from well-known code: a popular course script trains with least squares and embeds labels (``loss:
least-squares``, ``labels: embedding``). There, as here, the labels of fakes are drawn apart from the real batch; the
paper does not say. A penalty between real samples and fakes (``gradient-penalty``) takes the labels of the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ganrun.plugin import Component, Description, Interface, Network, Refusal, Space, Stream, Turn, hookimpl
from ganrun_plugins.variants.gan import GAN

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


class CGAN(GAN):
    """The game of ``gan``, with a label given to both networks."""

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


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "cgan", CGAN)
