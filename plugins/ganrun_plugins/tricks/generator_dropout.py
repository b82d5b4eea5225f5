"""Generator dropout: hidden activations of the generators are dropped at random, also in sampling if asked.

Papers: Srivastava et al., "Dropout" (2014); as the noise of a generator without a latent: Isola et al., "Image-to-Image
Translation with Conditional Adversarial Networks" (2016), section 3.2, where it stays on at test time
(``at_sampling``).

A dropout layer is put behind every hidden activation of every generator, whatever its architecture: the activations
are found by running the network once on torch's meta device, and one counts as hidden if a layer with parameters runs
after it. So the output block is left out. An activation that is written as a function instead of a module
(``F.relu(x)``) cannot be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Experiment, Interface, Refusal, Sampling, Scheduled, Turn, first_value, hookimpl
from ganrun_plugins.tricks._layers import replace, trace

ACTIVATIONS = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardswish,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.SELU,
    nn.SiLU,
    nn.Softplus,
    nn.Tanh,
)


class ScheduledDropout(nn.Dropout):
    """Dropout of single numbers whose probability is set before each turn."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)


class GeneratorDropout:
    """Puts dropout behind the hidden activations of the generators."""

    strength: ClassVar[str] = "p"
    remedies: ClassVar[frozenset[str]] = frozenset({"overfitting-generator", "missing-diversity"})

    def __init__(
        self,
        *,
        p: Annotated[Scheduled, Field(ge=0, lt=1, description="probability that a number is dropped")] = Scheduled(0.5),
        at_sampling: Annotated[bool, Field(description="drop when sampling outside training, too")] = False,
    ) -> None:
        self.p = p
        self.at_sampling = at_sampling
        self.dropouts: list[ScheduledDropout] = []

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        for name, network in experiment.networks("generator").items():
            added = insert_dropout(
                network,
                hidden_activations(network, experiment.description.networks[name].interface),
                first_value(self.p),
            )
            if not added:
                raise Refusal(
                    f"no hidden activation was found in {name} ({type(network).__name__}), "
                    "so there is nothing that could be dropped",
                    "write its activations as modules (nn.ReLU() rather than F.relu), or take another generator",
                )
            self.dropouts += added

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        self._set(turn.now(self.p))

    @hookimpl
    def sampling(self, sampling: Sampling) -> None:
        if self.at_sampling:
            sampling.active.extend(self.dropouts)

    def _set(self, p: float) -> None:
        for dropout in self.dropouts:
            dropout.p = p

    def state_dict(self) -> dict[str, Any]:
        """The probability of the last turn: samples of a restored run are made with it."""
        return {"p": self.dropouts[0].p} if self.dropouts else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        if state:
            self._set(float(state["p"]))


def hidden_activations(network: nn.Module, interface: Interface) -> set[nn.Module]:
    """The activation modules that run before some layer with parameters: all but those of the output block."""
    modules = dict(network.named_modules())
    waiting: set[str] = set()
    hidden: set[str] = set()
    for call in trace(network, interface).calls:
        if isinstance(modules[call.name], ACTIVATIONS):
            hidden.discard(call.name)  # one used again may be the last now
            waiting.add(call.name)
        elif next(modules[call.name].parameters(), None) is not None:
            hidden.update(waiting)
            waiting.clear()
    return {modules[name] for name in hidden}


def insert_dropout(network: nn.Module, activations: set[nn.Module], p: float) -> list[ScheduledDropout]:
    """Replace each of these modules, wherever it is used, by itself followed by dropout. Returns the new layers."""
    pairs = {activation: nn.Sequential(activation, ScheduledDropout(p)) for activation in activations}
    replace(network, pairs)
    return [layer for pair in pairs.values() for layer in pair if isinstance(layer, ScheduledDropout)]


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "generator-dropout", GeneratorDropout)
