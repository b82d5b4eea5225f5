"""A variational autoencoder: encodings are distributions, pulled to a prior from which samples are then made. No game.

Paper: Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), sections 2.3 and 3, appendix B. The encoder returns
the mean m and the variance v of each of Z numbers, z = m + sqrt(v) * e with e from N(0, I), and encoder and generator
(the decoder) minimise

    -log p(x | z) + beta * KL(N(m, v) || N(0, I)),    KL = sum (v + m^2 - 1 - log v) / 2

which at beta = 1 is minus a lower bound of log p(x), in nats. p(x | z) is normal around G(z) with standard deviation
``sd``, or, for images, Bernoulli with the probabilities (G(z) + 1) / 2 (grey values then count as probabilities, and
the bound is not one of the images' density any more). Other betas: Higgins et al., "beta-VAE" (2017); a schedule warms
up the KL (Bowman et al. 2016).

In training one z a sample is drawn, as in the paper. Outside training samples are decoded draws from N(0, I), without
the noise of p(x | z), and reconstructions are decoded means. The paper trains with Adagrad, layers of 500 (MNIST),
tanh, and batches of 100.

Differences from well-known code: the sum over the numbers of a sample, as in the bound. A mean instead is beta times
their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
    Interface,
    Network,
    Phase,
    Player,
    Reason,
    Refusal,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)
from ganrun_plugins.variants._encoders import (
    NORMAL_PRIOR,
    divergence,
    entry,
    errors,
    gaussian,
    inside,
    normal_likelihood,
    reparameterised,
)


class VAE:
    """One stochastic encoder, one generator, one player, no game."""

    provides = frozenset({"latent"})
    wants: ClassVar[dict[str, Reason]] = NORMAL_PRIOR
    networks: ClassVar[dict[str, str]] = {"encoder": "generator"}
    defaults: ClassVar[dict[str, Any]] = {
        "generator": {"mlp": {"widths": [500], "norm": "none", "activation": "tanh"}},
        "encoder": {"mlp": {"widths": [500], "norm": "none", "activation": "tanh"}},
        "sampler": "normal",
        "players": {"autoencoder": {"optimizer": {"adam": {"lr": 1e-3, "betas": [0.9, 0.999]}}}},
        "train": {"batch_size": 100},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 20,
        likelihood: Annotated[
            Literal["normal", "bernoulli"],
            Field(description="p(x | z): normal around G(z), or grey values as probabilities"),
        ] = "normal",
        sd: Annotated[
            Scheduled, Field(gt=0, description="standard deviation of the normal p(x | z), for data in [-1, 1]")
        ] = Scheduled(0.2),
        beta: Annotated[Scheduled, Field(ge=0, description="weight of the divergence from the prior")] = Scheduled(1.0),
    ) -> None:
        self.latent = Space("latent", (latent,))
        self.likelihood = likelihood
        self.sd = sd
        self.beta = beta

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        x = entry(spaces)
        if self.likelihood == "bernoulli" and x.kind != "image":
            raise Refusal(
                f"a Bernoulli variable has grey values for its mean, and {x} has numbers without limits",
                "likelihood: normal",
            )
        return Description(
            networks={
                "encoder": Network("encoder", Interface(takes=x, makes=Space("latent", (2 * self.latent.size,)))),
                "generator": Network("generator", Interface(takes=self.latent, makes=x)),
            },
            players=[Player("autoencoder", ["encoder", "generator"])],
            phases=[Phase("reconstruction", "autoencoder", games=())],
            outputs=("x",),
            pairs={"rec": "x"},
            infers={"z": self.latent},
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)
        turn.latents["noise"] = turn.draws.normal("posterior", turn.rows, self.latent.size)

    def make(self, turn: Turn) -> None:
        """In training, what stands in the place of a real image is its reconstruction; outside, a sample."""
        generator = turn.modules["generator"]
        if inside(turn, "reconstruction"):
            turn.made["mean"], turn.made["log_variance"] = gaussian(turn.modules["encoder"](turn.real["x"]))
            z = reparameterised(turn.made["mean"], turn.made["log_variance"], turn.latents["noise"])  # (B, Z)
            turn.made["x"] = turn.made["rec"] = generator(z)
            return
        turn.made["x"] = generator(turn.latents["z"])
        if turn.player:
            turn.made["rec"] = generator(self.infer(turn)["z"])

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        return {}

    def terms(self, turn: Turn) -> dict[str, Term]:
        made, real = turn.made["rec"], turn.real["x"]
        if self.likelihood == "normal":
            surprise = normal_likelihood(made, real, turn.now(self.sd))  # (B,)
        else:
            surprise = errors(made, real, "cross-entropy").flatten(1).sum(1)
        away = divergence(turn.made["mean"], turn.made["log_variance"])  # (B,)
        return {"reconstruction": Term(surprise.mean()), "divergence": Term(away.mean(), turn.now(self.beta))}

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """``z``: the means of the encodings of the real items, (B, Z)."""
        return {"z": gaussian(turn.modules["encoder"](turn.real["x"]))[0]}

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"samples": [turn.made["x"]]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "vae", VAE)
