"""What tricks that change networks share: a trial run on the meta device, layers found, replaced and added."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganrun.plugin import DiscriminatorOutput, Experiment, Interface, Refusal, Scheduled, Turn, hookimpl, seeded

Networks = Literal["discriminators", "generators", "all"]
KINDS: Mapping[str, tuple[str, ...]] = {
    "discriminators": ("discriminator",),
    "generators": ("generator",),
    "all": ("generator", "discriminator"),
}


def chosen(experiment: Experiment, networks: Networks) -> dict[str, nn.Module]:
    """The networks that a trick is to change, by name."""
    return {name: module for kind in KINDS[networks] for name, module in experiment.networks(kind).items()}


# --- one run on the meta device -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One call of a module: its name in the network, the shapes of its first input and output if they are tensors."""

    name: str
    takes: tuple[int, ...] = ()
    makes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trace:
    """What a run showed: calls of modules in the order in which they began, and parameters that reach the output."""

    calls: list[Seen]
    reaching: frozenset[str]


def trace(network: nn.Module, interface: Interface, name: str = "the network") -> Trace:
    """Run a copy of a network on the meta device. Of a discriminator, the output that is followed is its logits."""
    twin = copy.deepcopy(network).to("meta").eval().requires_grad_()
    names = {id(module): name for name, module in twin.named_modules()}
    calls: list[Seen] = []
    open_calls: list[int] = []

    def before(module: nn.Module, args: Any) -> None:
        open_calls.append(len(calls))
        calls.append(Seen(names[id(module)], _shape(args[0] if args else None)))

    def after(module: nn.Module, args: Any, output: Any) -> None:
        place = open_calls.pop()
        calls[place] = Seen(calls[place].name, calls[place].takes, _shape(output))

    for module in twin.modules():
        module.register_forward_pre_hook(before, prepend=True)
        module.register_forward_hook(after)
    dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), None)
    try:
        with torch.enable_grad():
            output = twin(*interface.example(dtype=dtype))
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
        why = f"{name} ({type(network).__name__}) does not run on shapes alone, so its layers cannot be found: "
        why += " ".join(str(error).split())
        raise Refusal(why, "choose a network, or parameters of it, that fit the data") from error
    main = output.logits if isinstance(output, DiscriminatorOutput) else output
    variables = {id(variable) for variable in _variables(main)} if isinstance(main, Tensor) else set()
    return Trace(calls, frozenset(key for key, parameter in twin.named_parameters() if id(parameter) in variables))


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _variables(output: Tensor) -> Iterator[Tensor]:
    """The leaves of a tensor's graph."""
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting += [following for following, _ in node.next_functions]


# --- layers ---------------------------------------------------------------------------------------------------


def weighted(network: nn.Module) -> dict[str, nn.Module]:
    """Layers with a ``weight`` of two axes or more: linear, convolution and embedding layers, and others like them."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.LayerNorm | parametrize.ParametrizationList):
            continue
        computed = parametrize.is_parametrized(module, "weight")
        weight = module.parametrizations.weight.original if computed else module._parameters.get("weight")
        if isinstance(weight, Tensor) and weight.dim() >= 2:
            found[name] = module
    return found


def output_axis(layer: nn.Module) -> int:
    """The axis of a layer's weight along which its output units lie."""
    return 1 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 0


def output_layer(network: nn.Module, interface: Interface, name: str) -> tuple[nn.Module, Seen]:
    """The last layer on the way to a discriminator's logits, and its call.

    Energies have one, too: the last of the decoder.
    """
    run = trace(network, interface, name)
    added = tuple(f"{prefix}." for prefix, module in network.named_modules() if isinstance(module, Addition))
    layers = {key: layer for key, layer in weighted(network).items() if not f"{key}.".startswith(added or ("\0",))}
    for call in reversed(run.calls):
        prefix = f"{call.name}." if call.name else ""
        if call.name in layers and any(key.startswith(prefix) for key in run.reaching):
            return layers[call.name], call
    why = f"no layer of {name} ({type(network).__name__}) has a weight matrix, so nothing can be joined to its input"
    raise Refusal(why, "another discriminator")


class Strength:
    """What tricks share that change layers with a ``strength``.

    It follows its schedule, and a restored run samples with the last one.
    """

    def __init__(self, strength: Scheduled) -> None:
        self.scheduled = strength
        self.layers: list[Any] = []

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        self.set_strength(turn.now(self.scheduled))

    def set_strength(self, strength: float) -> None:
        """Give all layers this strength."""
        for layer in self.layers:
            layer.strength = strength

    def state_dict(self) -> dict[str, Any]:
        """The strength of the last turn."""
        return {"strength": self.layers[0].strength} if self.layers else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        if state:
            self.set_strength(float(state["strength"]))


def replace(network: nn.Module, new: Mapping[nn.Module, nn.Module]) -> None:
    """Put modules in the place of others, wherever these are used. A new module may hold the old one."""
    fresh = set(new.values())
    for parent in list(network.modules()):
        if parent in fresh:
            continue
        for name, child in list(parent._modules.items()):
            if child is not None and child in new:
                setattr(parent, name, new[child])


# --- joining a statistic to the input of a layer --------------------------------------------------------------


class Addition(nn.Module):
    """A statistic of a batch, joined to the input of a layer.

    A layer that is linear in its input computes A [h, o] = A1 h + A2 o from an input h joined with a statistic o. So A1
    stays the layer as it is, with its names, and A2 is the ``map`` of this module, which is a child of the layer.
    ``strength`` is the share of A2 o: at 0 the output is the layer's own, bit for bit.
    """

    strength: float = 1.0

    def __init__(self, statistic: nn.Module, map: nn.Module, *, last: bool) -> None:
        super().__init__()
        self.statistic = statistic
        self.map = map
        self.last = last  # whether channels are the last axis of the layer's input, as in a linear layer

    def forward(self, h: Tensor, output: Tensor) -> Tensor:
        o = self.statistic(h)  # (B, n)
        if isinstance(self.map, nn.Linear):
            o = self.map(o)  # (B, K)
            ones = [1] * (output.dim() - 2)
            shape = (len(o), *ones, o.shape[1]) if self.last else (len(o), o.shape[1], *ones)
            o = o.reshape(shape if output.dim() > 1 else output.shape)
        else:
            planes = o.reshape(*o.shape, *[1] * (h.dim() - 2)).expand(-1, -1, *h.shape[2:])  # (B, n, H, W)
            o = self.map(planes)  # (B, K, h, w)
        joined: Tensor = output + (self.strength * o).to(output.dtype)
        return joined


def join(
    experiment: Experiment, network: str, title: str, statistic: Callable[[int, bool], nn.Module], size: int
) -> Addition:
    """Add a statistic of ``size`` numbers a sample to the input of a discriminator's last layer.

    ``statistic`` gets the number of channels of that input, and whether they are its last axis. Weights come from a key
    of their own. The addition is the layer's child ``title``, numbered if that is taken.
    """
    module, interface = experiment.modules[network], experiment.description.networks[network].interface
    layer, call = output_layer(module, interface, network)
    last = isinstance(layer, nn.Linear)
    like = next(layer.parameters())
    child = title
    while hasattr(layer, child):
        child = f"{title}{int(child.removeprefix(title) or 1) + 1}"
    with drawn_for(experiment, child, network, like.device):
        map_ = map_like(layer, size, call)
        addition = Addition(statistic(call.takes[-1 if last else 1], last), map_, last=last)
        if like.device.type != "meta":
            experiment.initialise(network, map_)
    layer.add_module(child, addition.to(like.device, like.dtype))
    layer.register_forward_hook(partial(_add, child))
    return addition


def _add(child: str, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    added: Tensor = layer.get_submodule(child)(args[0], output)
    return added


def map_like(layer: nn.Module, size: int, call: Seen) -> nn.Module:
    """The map from ``size`` further input channels to the output of a layer, without a bias."""
    if isinstance(layer, nn.modules.conv._ConvNd):
        shape: dict[str, Any] = {key: getattr(layer, key) for key in ("kernel_size", "stride", "padding", "dilation")}
        axes = len(layer.kernel_size)
        if isinstance(layer, nn.modules.conv._ConvTransposeNd):
            kind: Any = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1]
            shape["output_padding"] = layer.output_padding
        else:
            kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        made: nn.Module = kind(size, layer.out_channels, **shape, bias=False)
        return made
    channels = call.makes[-1 if isinstance(layer, nn.Linear) else 1] if len(call.makes) > 1 else 1
    return nn.Linear(size, channels, bias=False)


@contextmanager
def drawn_for(experiment: Experiment, purpose: str, network: str, device: torch.device) -> Iterator[None]:
    """In this context parameters are drawn from a key of their own, on the CPU.

    They are not allocated if the network is not.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta" if device.type == "meta" else "cpu"):
        seeded(torch.default_generator, experiment.recipe.train.seed, purpose, network)
        yield


def full_precision(tensor: Tensor) -> AbstractContextManager[Any]:
    """A context without autocast: a norm in bfloat16 has 3 digits."""
    return nullcontext() if tensor.device.type == "meta" else torch.autocast(tensor.device.type, enabled=False)
