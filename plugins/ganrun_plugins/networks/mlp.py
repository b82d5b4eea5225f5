"""Perceptrons: a generator and a discriminator of linear layers, for images, points and latents.

The networks of Goodfellow et al., "Generative Adversarial Nets" (2014), in the form in which courses teach them:
generator latent - 128 - 256 - 512 - 1024 - sample, LeakyReLU 0.2, BatchNorm on all hidden layers but the first, tanh
for images and nothing for points and latents; discriminator sample - 512 - 256 - 1, LeakyReLU 0.2.

Differences from well-known code: BatchNorm keeps torch's eps of 1e-5 (a teaching script that writes
``BatchNorm1d(n, 0.8)`` for momentum sets eps to 0.8), and the discriminator returns logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, hookimpl
from ganrun_plugins.networks._given import append_vectors, vector_size
from ganrun_plugins.networks._labels import DiscriminatorLabelsField, GivenLabels, LabelsField, LabelSize, Projection

Norm = Literal["batch", "layer", "none"]
Activation = Literal["leaky-relu", "relu", "elu", "tanh"]
Width = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Width, ...], Field(description="sizes of the hidden layers, from the input on; may be empty")]


def norm_layer(norm: Norm, width: int) -> list[nn.Module]:
    """The normalisation of one hidden layer, as a list of no or one module."""
    match norm:
        case "batch":
            return [nn.BatchNorm1d(width)]
        case "layer":
            return [nn.LayerNorm(width)]
    return []


def activation_layer(activation: Activation) -> nn.Module:
    """LeakyReLU has the slope 0.2."""
    return {"leaky-relu": nn.LeakyReLU(0.2), "relu": nn.ReLU(), "elu": nn.ELU(), "tanh": nn.Tanh()}[activation]


def hidden_layers(size: int, widths: tuple[int, ...], norm: Norm, activation: Activation) -> nn.ModuleList:
    """One linear block a width; the first has no normalisation."""
    blocks = nn.ModuleList()
    for i, width in enumerate(widths):
        norms = norm_layer(norm, width) if i > 0 else []
        blocks.append(nn.Sequential(nn.Linear(size, width), *norms, activation_layer(activation)))
        size = width
    return blocks


class MLPGenerator(nn.Module):
    """(B, *takes.shape) -> (B, *makes.shape); whatever is given is joined to the input.

    For ``labels`` see ``_labels.py``.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"latent", "points", "image"})
    makes: ClassVar[frozenset[str]] = frozenset({"image", "points", "latent"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        widths: Widths = (128, 256, 512, 1024),
        norm: Annotated[Norm, Field(description="normalisation of every hidden layer but the first")] = "batch",
        activation: Annotated[Activation, Field(description="after each hidden layer")] = "leaky-relu",
        labels: LabelsField = "one-hot",
        label_size: LabelSize = 50,
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        self.given = GivenLabels(interface.given, labels, label_size)
        self.shape = interface.makes.shape
        size = interface.takes.size + vector_size(self.given.spaces)
        self.hidden = hidden_layers(size, widths, norm, activation)
        self.output = nn.Sequential(nn.Linear(widths[-1] if widths else size, interface.makes.size))
        if interface.makes.kind == "image":
            self.output.append(nn.Tanh())

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        h = append_vectors(x, self.given(given), self.given.spaces)  # (B, takes.size + given)
        hidden: dict[str, Tensor] = {}
        for place, block in enumerate(self.hidden):
            h = block(h)
            if layers:
                hidden[f"hidden.{place}"] = h
        out: Tensor = self.output(h).reshape(-1, *self.shape)  # (B, makes.size) -> (B, *makes.shape)
        return Layers(out, hidden) if layers else out


class MLPDiscriminator(nn.Module):
    """(B, *takes.shape) -> logits (B,), or (B, logits) if several are asked for.

    Its features are the hidden activations.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image", "points", "latent"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        widths: Widths = (512, 256),
        norm: Annotated[Norm, Field(description="normalisation of every hidden layer but the first")] = "none",
        activation: Annotated[Activation, Field(description="after each hidden layer")] = "leaky-relu",
        labels: DiscriminatorLabelsField = "one-hot",
        label_size: LabelSize = 50,
    ) -> None:
        super().__init__()
        self.given = GivenLabels(interface.given, labels, label_size)
        size = interface.pack * (interface.takes.size + vector_size(self.given.spaces))
        self.hidden = hidden_layers(size, widths, norm, activation)
        size = widths[-1] if widths else size
        self.output = nn.Linear(size, interface.logits)
        self.heads = nn.ModuleDict({name: nn.Linear(size, head) for name, head in interface.heads.items()})
        self.projection = (
            Projection(interface.given, size, interface.logits, interface.pack) if labels == "projection" else None
        )

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h = append_vectors(x, self.given(given), self.given.spaces)  # (B, pack * (takes.size + given))
        features = []
        for block in self.hidden:
            h = block(h)
            features.append(h)
        # before the layer that makes logits: tricks take that to be the last one
        projected = None if self.projection is None else self.projection(h, given)  # (B, logits)
        logits = self.output(h)  # (B, logits)
        if projected is not None:
            logits = logits + projected
        heads = {name: head(h) for name, head in self.heads.items()}
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, features, heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "mlp", MLPGenerator)
    yield Component("discriminator", "mlp", MLPDiscriminator)
