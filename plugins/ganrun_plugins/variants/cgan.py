"""Conditional GAN: generator and discriminator are both given the class, so samples can be asked for by class.

Paper: Mirza and Osindero, "Conditional Generative Adversarial Nets" (2014):

    min_G max_D  E log D(x | y) + E log(1 - D(G(z | y) | y))

Real samples come with their own label. For fakes labels are drawn, all classes equally likely (or as the sampler
``labels`` says), and the discriminator sees the label that a fake was made for. How a label enters a network is the
network's parameter ``labels``: one-hot as in the paper, an embedding, a projection or a linear map
(``networks/_labels.py``).

The defaults are the conditional GAN as courses teach it: the perceptrons of ``gan``, one-hot labels joined to their
inputs, Adam, the non-saturating loss. The paper's own networks are ``maxout-mlp``, its settings
``recipes/cgan_mnist.yaml``.

Differences from well-known code: a popular course script trains with least squares and embeds labels
(``loss: least-squares``, ``labels: embedding``). There, as here, the labels of fakes are drawn apart from the real
batch; the paper does not say. A penalty between real samples and fakes (``gradient-penalty``) takes the labels of the
real ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._conditional import Conditional
from ganrun_plugins.variants._game import PERCEPTRONS


class CGAN(Conditional):
    """The game of ``gan``, with a label given to both networks."""

    defaults: ClassVar[dict[str, Any]] = PERCEPTRONS


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "cgan", CGAN)
