"""A network as it samples, made ready to leave ganrun: plain tensors in, plain tensors out, nothing drawn inside."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ganrun.errors import UserError
from ganrun.inference.trained import Trained
from ganrun.sampling.sampling import SampleMaker
from ganrun.words.game import DiscriminatorOutput
from ganrun.words.spaces import Interface, Space

COMPARED = 64  # inputs on which an exported network is held against ganrun
LARGE_INPUTS = 8 * 3 * 256 * 256  # numbers of a chunk of inputs or samples: larger ones are made in smaller chunks
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass(frozen=True)
class Input:
    """One tensor that an exported network takes.

    kind: image (in [-1, 1]), points, latent, labels (int64 below ``classes``) or noise (uniform numbers in [0, 1)).
    shape: without the batch axis.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    classes: int = 0


@dataclass
class Recorded:
    """One call of a network in ganrun: rows of its inputs, of the noise it drew, and of what it made."""

    inputs: tuple[Tensor, ...]
    noise: list[Tensor] = field(default_factory=list)
    outputs: tuple[Tensor, ...] = ()


@dataclass(eq=False)
class Noise:
    """The noise tensors of a forward pass that are not used yet. No list: torch.export copies lists in modules."""

    tensors: list[Tensor] = field(default_factory=list)


class Drawn(nn.Module):
    """Dropout whose random numbers are handed in: what is below ``p`` in the next noise tensor is dropped.

    ``channels``: one number decides about a whole channel, as in ``nn.Dropout2d``.
    """

    def __init__(self, p: float, noise: Noise, channels: bool) -> None:
        super().__init__()
        self.p = p
        self.noise = noise
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        kept = (self.noise.tensors.pop(0) >= self.p).to(x.dtype)
        return x * kept / (1 - self.p) if self.p < 1 else x * kept


class Exportable(nn.Module):
    """A network of a run with the weights and modes of sampling, whose ``forward`` takes what ``inputs`` says by name.

    It returns a tuple of tensors, called ``outputs``. ``any_size``: images may have other heights and widths, multiples
    of ``multiple``. ``of_batch``: normalisation uses the statistics of the rows that are handed in together.
    """

    def __init__(self, network: nn.Module, interface: Interface) -> None:
        super().__init__()
        self.noise = Noise()
        provides = getattr(network, "provides", ())
        self.any_size = "any-size" in provides and interface.takes.kind == "image"
        self.multiple = int(getattr(network, "multiple", 1))
        self.of_batch = _without_randomness(network, self.noise)
        self.network = network
        self.spaces = (interface.takes, *interface.given)
        self.pack = interface.pack
        self.taken = _named(self.spaces, interface.pack)
        self.inputs = [*self.taken, *self._noise_inputs(interface)]
        self.outputs = _outputs(interface)
        self.forward = self._as_function()

    def _as_function(self) -> Any:
        """The forward pass as a function whose parameters have the names of the inputs, which exporters take over."""

        def forward(*tensors: Tensor) -> tuple[Tensor, ...]:
            self.noise.tensors = list(tensors[len(self.taken) :])
            return tensors_of(self.network(*tensors[: len(self.taken)]))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        forward.__signature__ = inspect.Signature([inspect.Parameter(i.name, kind) for i in self.inputs])  # type: ignore[attr-defined]
        return forward

    def _noise_inputs(self, interface: Interface) -> list[Input]:
        """A noise tensor for each call of a layer that draws, in their order: of the shape that it draws."""
        drawing = [layer for layer in self.network.modules() if isinstance(layer, Drawn)]
        shapes: list[tuple[int, ...]] = []

        def seen(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            x = _by_channel(args[0]) if layer.channels else args[0]
            shapes.append(tuple(x.shape[1:]))
            self.noise.tensors.append(torch.zeros_like(x))

        handles = [layer.register_forward_pre_hook(seen) for layer in drawing]
        try:
            if drawing:
                with torch.no_grad():
                    self.network(*interface.example(device="cpu", dtype=self.dtype()))
        finally:
            for handle in handles:
                handle.remove()
        names = ["noise"] if len(shapes) == 1 else [f"noise_{i}" for i in range(1, len(shapes) + 1)]
        return [Input(name, "noise", shape) for name, shape in zip(names, shapes)]

    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return next((p.dtype for p in self.network.parameters()), torch.float32)

    def example(self, rows: int, seed: int = 0, *, larger: int = 0) -> tuple[Tensor, ...]:
        """Inputs of so many rows, drawn from a seed. Images are larger by ``larger`` multiples a side.

        Raises ValueError for a larger one of a network with noise, whose shapes are known for one size.
        """
        if larger and len(self.inputs) > len(self.taken):
            raise ValueError("the shapes of noise are known for one size of images")
        generator = torch.Generator().manual_seed(seed)
        return tuple(random_rows(one, rows, self.dtype(), generator, larger * self.multiple) for one in self.inputs)


def random_rows(one: Input, rows: int, dtype: torch.dtype, generator: torch.Generator, more: int = 0) -> Tensor:
    """Random values of an input (rows, *shape). Images are larger by ``more`` pixels a side."""
    shape = tuple(one.shape)
    if one.kind == "labels":
        return torch.randint(one.classes, (rows, *shape), generator=generator)
    if one.kind == "noise":
        return torch.rand(rows, *shape, generator=generator, dtype=dtype)
    if one.kind == "image":
        shape = (shape[0], *(side + more for side in shape[1:]))
    x = torch.randn(rows, *shape, generator=generator, dtype=dtype)
    return x.tanh() if one.kind == "image" else x


def stand_in_items(trained: Trained, n: int) -> dict[str, Tensor]:
    """Random values in the place of n real items, entry -> (n, ...), for runs whose data are not here."""
    generator = torch.Generator().manual_seed(0)
    return {
        entry: random_rows(
            Input(entry, space.kind, space.shape, space.classes), n, torch.get_default_dtype(), generator
        )
        for entry, space in trained.experiment.dataset.spaces.items()
    }


def exportable(trained: Trained, name: str) -> Exportable:
    """The network ``name`` of a run, ready to be exported. Raises UserError if the run has no such network."""
    networks = trained.experiment.description.networks
    if name not in networks:
        raise UserError(
            f"{trained.folder}: {trained.recipe.variant.name} has no network {name!r}; it has {', '.join(networks)}"
        )
    with trained.settings():
        return Exportable(trained.generator(name), networks[name].interface)


def recorded(trained: Trained, name: str, of: Exportable) -> list[Recorded]:
    """What ganrun itself makes with a network, ``COMPARED`` rows: while sampling if samples need it, else by itself."""
    spaces = [*trained.experiment.dataset.spaces.values(), *of.spaces]
    rows = max(1, min(COMPARED, LARGE_INPUTS // max(space.size for space in spaces)))
    maker = SampleMaker(trained.sample_maker.engine, chunk=rows)
    calls: list[Recorded] = []
    with trained.settings(), _listening(trained.experiment.modules[name], calls), torch.no_grad():
        conditional = trained.experiment.description.conditional
        maker.turn(COMPARED, real=stand_in_items(trained, COMPARED) if conditional else None)
        if not calls:
            inputs = of.example(COMPARED)[: len(of.taken)]
            with maker.modules() as modules:
                for start in range(0, COMPARED, rows):
                    modules[name](*(tensor[start : start + rows] for tensor in inputs))
    return calls


class _listening:
    """In this context the calls of a network are kept, and as noise which numbers its dropout layers dropped."""

    def __init__(self, network: nn.Module, calls: list[Recorded]) -> None:
        self.network, self.calls = network, calls
        self.handles: list[Any] = []
        self.rows = 0

    def __enter__(self) -> None:
        self.handles = [
            self.network.register_forward_pre_hook(self._before, prepend=True),
            self.network.register_forward_hook(self._after),
        ]
        self.handles += [
            layer.register_forward_hook(self._dropped)
            for layer in self.network.modules()
            if isinstance(layer, DROPOUTS)
        ]

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _before(self, network: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.calls.append(Recorded(tuple(tensor.detach().clone() for tensor in args)))

    def _after(self, network: nn.Module, args: tuple[Tensor, ...], output: Any) -> None:
        self.calls[-1].outputs = tuple(tensor.detach().clone() for tensor in tensors_of(output))

    def _dropped(self, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if layer.training:
            kept = (output.detach() != 0).to(output.dtype)
            self.calls[-1].noise.append(kept if isinstance(layer, nn.Dropout) else _by_channel(kept))


def tensors_of(output: Any) -> tuple[Tensor, ...]:
    """What a network returns, as a tuple: a discriminator's logits and heads."""
    if isinstance(output, DiscriminatorOutput):
        return (output.logits, *output.heads.values())
    return tuple(output) if isinstance(output, tuple | list) else (output,)


def _by_channel(x: Tensor) -> Tensor:
    """(B, C, ...) -> (B, C, 1, ...): the largest number of each channel."""
    return x.amax(tuple(range(2, x.dim())), keepdim=True) if x.dim() > 2 else x


def _outputs(interface: Interface) -> list[str]:
    if interface.makes is not None:
        return [f"made_{interface.makes.kind}"]  # not the name of an input
    return ["logits", *(f"head_{name}" for name in interface.heads)]


def _named(spaces: Sequence[Space], pack: int) -> list[Input]:
    """The inputs of a network: called as their kinds, with a number from the second of a kind on."""
    found: list[Input] = []
    for space in spaces:
        number = sum(one.kind == space.kind for one in found) + 1
        if space.kind == "labels":
            shape = (pack * space.size,) if pack > 1 else space.shape
        else:
            shape = (pack * space.shape[0], *space.shape[1:])
        found.append(
            Input(space.kind if number == 1 else f"{space.kind}_{number}", space.kind, shape, classes=space.classes)
        )
    return found


def _without_randomness(network: nn.Module, noise: Noise) -> bool:
    """Make a network compute what it does when it samples, without drawing or changing buffers.

    Dropout that is active takes its numbers from ``noise``; BatchNorm in training mode keeps no statistics. Returns
    whether there is such a BatchNorm, so that rows depend on each other.
    """
    of_batch = False
    for layer in list(network.modules()):
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training:
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
            layer.eval()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is None:
            of_batch = True
        for key, inner in list(layer.named_children()):
            if isinstance(inner, DROPOUTS) and inner.training:
                setattr(layer, key, Drawn(inner.p, noise, channels=not isinstance(inner, nn.Dropout)))
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return of_batch
