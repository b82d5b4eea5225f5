"""What a generator and a discriminator have to keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganrun.inference.export_formats import traced
from ganrun.inference.exported import Exportable
from ganrun.testing.conditions import provides, when
from ganrun.testing.plugin import Plugin
from ganrun.words.game import DiscriminatorOutput, Layers
from ganrun.words.spaces import Interface, Refusal, Space

_ROWS = 4
_KINDS_OF_SPACE = {"image", "points", "latent", "labels"}
_SPACES: dict[str, list[Space]] = {
    "image": [Space("image", (channels, side, side)) for side in (8, 16, 32, 64) for channels in (1, 3)],
    "points": [Space("points", (2,))],
    "latent": [Space("latent", (8,))],
    "labels": [Space("labels", (6,), 12)],
}


def is_discriminator(plugin: Plugin) -> bool:
    """Whether it scores samples."""
    return plugin.kind == "discriminator"


def is_generator(plugin: Plugin) -> bool:
    """Whether it makes samples."""
    return plugin.kind == "generator"


def build(plugin: Plugin, interface: Interface, seed: int = 0, device: str = "cpu") -> nn.Module:
    """The network, in evaluation mode, from a seed of torch's global generator."""
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(seed)
        network: nn.Module = plugin.part.make(interface)
    return network.eval()


def interfaces(plugin: Plugin) -> Iterator[Interface]:
    """For every pair of kinds that the network declares, the first shapes that it does not refuse."""
    makes = sorted(plugin.factory.makes) if is_generator(plugin) else [None]
    for taken in sorted(plugin.factory.takes):
        for made in makes:
            pairs = [
                (x, x if made == taken else None if made is None else y)
                for x in _SPACES[taken]
                for y in _SPACES[made or taken]
            ]
            yield first_accepted(plugin, [Interface(takes=x, makes=y) for x, y in pairs])


def first_accepted(plugin: Plugin, candidates: list[Interface]) -> Interface:
    """The first interface that is not refused. AssertionError with the reasons if all are."""
    reasons = []
    for interface in candidates:
        try:
            build(plugin, interface, device="meta")
        except Refusal as refusal:
            reasons.append(str(refusal))
        else:
            return interface
    raise AssertionError(f"declared, but refused: {candidates[0].takes} -> {candidates[0].makes}: {reasons[-1]}")


def first_interface(plugin: Plugin) -> Interface:
    """One interface that the network serves."""
    return next(interfaces(plugin))


def input_of(interface: Interface, scale: float = 1.0) -> Tensor:
    """(_ROWS, *shape) of what the network takes, several samples joined along the first axis of the shape if packed."""
    if interface.takes.kind == "labels":
        return torch.randint(
            interface.takes.classes, (_ROWS, *interface.takes.shape), generator=torch.Generator().manual_seed(0)
        )
    first, *rest = interface.takes.shape
    x = torch.randn(_ROWS, interface.pack * first, *rest, generator=torch.Generator().manual_seed(0))
    return scale * (x.tanh() if interface.takes.kind == "image" else x)


def accepted(plugin: Plugin, **changes: Any) -> Iterator[Interface]:
    """Interfaces with changes, those left out that the network refuses."""
    for interface in interfaces(plugin):
        changed = replace(interface, **changes)
        try:
            build(plugin, changed, device="meta")
        except Refusal:
            continue
        yield changed


def check_declares_its_spaces(plugin: Plugin) -> None:
    """``takes`` (and a generator's ``makes``) are sets of space kinds, each of which some shape can be served of."""
    for attribute in ("takes", "makes") if is_generator(plugin) else ("takes",):
        declared = getattr(plugin.factory, attribute, None)
        assert isinstance(declared, frozenset | set) and declared, (
            f"{attribute} is missing: a set such as frozenset({{'image'}})"
        )
        assert declared <= _KINDS_OF_SPACE, (
            f"{attribute} has {sorted(declared - _KINDS_OF_SPACE)}; the kinds of space are {sorted(_KINDS_OF_SPACE)}"
        )
    assert list(interfaces(plugin)), "no small shape of its kinds is accepted"


def check_builds_on_meta(plugin: Plugin) -> None:
    """On torch's meta device it has the parameters it has on a CPU: --check counts them there."""
    for interface in interfaces(plugin):
        meta, real = build(plugin, interface, device="meta"), build(plugin, interface)
        shapes = [{name: tuple(p.shape) for name, p in network.named_parameters()} for network in (meta, real)]
        assert shapes[0] == shapes[1], (
            f"{interface.takes}: the parameters on torch's meta device differ from those on a CPU"
        )


def check_construction_is_seeded(plugin: Plugin) -> None:
    """Weights are a function of torch's global generator, and the forward pass of weights and input."""
    interface = first_interface(plugin)
    one, same, other = build(plugin, interface), build(plugin, interface), build(plugin, interface, seed=1)
    x = input_of(interface)
    with torch.no_grad():
        assert torch.equal(main(one(x)), main(same(x))), "the same seed gives two outputs"
        if any(True for _ in one.parameters()):
            assert not torch.equal(main(one(x)), main(other(x))), "two seeds give the same output"


def check_state_round_trip(plugin: Plugin) -> None:
    """``state_dict`` holds all that decides the output."""
    interface = first_interface(plugin)
    one, other = build(plugin, interface), build(plugin, interface, seed=1)
    other.load_state_dict(one.state_dict())
    x = input_of(interface)
    with torch.no_grad():
        assert torch.equal(main(one(x)), main(other(x))), (
            "the output differs after load_state_dict; is all state in parameters and buffers?"
        )


def check_leaves_its_input_alone(plugin: Plugin) -> None:
    """The input is not changed in place: the caller still uses it."""
    interface = first_interface(plugin)
    x = input_of(interface)
    before = x.clone()
    with torch.no_grad():
        build(plugin, interface)(x)
    assert torch.equal(x, before), "the forward pass changes its input in place"


def check_float64(plugin: Plugin) -> None:
    """It computes in the number format of its weights."""
    interface = first_interface(plugin)
    x = input_of(interface)
    out = main(build(plugin, interface).double()(x.double() if x.is_floating_point() else x))
    assert out.dtype == torch.float64, (
        f"float64 weights and input give {out.dtype}; create tensors in the input's dtype"
    )


@when(is_generator)
def check_output(plugin: Plugin) -> None:
    """(B, *takes.shape) -> (B, *makes.shape), images in [-1, 1] for any input."""
    for interface in interfaces(plugin):
        assert interface.makes is not None
        out = build(plugin, interface)(input_of(interface, scale=3.0))
        assert tuple(out.shape) == (_ROWS, *interface.makes.shape), f"{interface.takes} becomes {tuple(out.shape)}"
        assert bool(out.isfinite().all()), "the output is not finite"
        if interface.makes.kind == "image":
            assert float(out.detach().abs().max()) <= 1, "an image has values outside [-1, 1]: end with tanh"


@when(is_generator)
def check_gradient_reaches_every_parameter(plugin: Plugin) -> None:
    """Every parameter takes part in the output, but for those of other stages, which ``resting`` names."""
    interface = first_interface(plugin)
    network = build(plugin, interface).train()
    network(input_of(interface)).square().mean().backward()
    resting: set[str] = getattr(network, "resting", set)()
    idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert not set(idle) - resting, (
        f"no gradient reaches {', '.join(idle)}; name parameters of other stages in `resting`"
    )
    assert not resting - set(idle), (
        f"a gradient reaches {', '.join(sorted(resting - set(idle)))}, which `resting` names"
    )


@when(is_generator)
def check_exports(plugin: Plugin) -> None:
    """`ganrun export` takes it: torch.export follows its forward for any number of rows, also with a label given.

    Or ``unexportable`` says why it cannot be.
    """
    first = first_interface(plugin)
    labelled = [found for found in accepted(plugin, given=(Space("labels", (), 3),)) if _runs(plugin, found)]
    for interface in (first, *labelled[:1]):
        of = Exportable(build(plugin, interface), interface)
        why = getattr(of.network, "unexportable", "")
        try:
            program = traced(of).module()  # which says in what multiples the graph takes larger images
        except Exception as error:
            assert why, f"torch.export does not follow it ({error}); mend that, or say why in `unexportable`"
            return
        assert not why, f"it can be exported, and `unexportable` says: {why}"
        larger = {0, 1} if of.any_size else {0}
        for rows, more in [(1, 0), *((3, more) for more in larger)]:
            inputs = of.example(rows, larger=more)
            (made,), (own,) = program(*inputs), of(*inputs)
            what = f"{rows} rows{' of larger images' if more else ''}"
            assert torch.allclose(made, own, atol=1e-5), f"exported, it makes other numbers of {what}"


@when(lambda plugin: is_generator(plugin) and provides("layers")(plugin))
def check_layers(plugin: Plugin) -> None:
    """As "layers" promises: called with ``layers=True`` it returns the same output, and hidden activations.

    Their names are the same for every input and every weight, and the input's gradient comes through each.
    """
    for interface in interfaces(plugin):
        network, x = build(plugin, interface), input_of(interface)
        x = x.requires_grad_() if x.is_floating_point() else x
        found = network(x, layers=True)
        assert isinstance(found, Layers), f"it returns {type(found).__name__}, not Layers"
        assert torch.equal(found.output, network(x)), "with layers=True the output differs"
        assert found.hidden, "it provides layers, and returns none"
        other = build(plugin, interface, seed=1)(input_of(interface, scale=3.0), layers=True)
        assert list(found.hidden) == list(other.hidden), (
            f"the names of the layers change: {', '.join(found.hidden)}, then {', '.join(other.hidden)}"
        )
        for name, layer in found.hidden.items():
            assert layer.shape[0] == _ROWS, f"{name}: {tuple(layer.shape)} for {_ROWS} samples"
            assert layer.requires_grad, f"{name} has no gradient: remove no_grad and detach, the caller adds them"
            if x.is_floating_point():
                (grad,) = torch.autograd.grad(layer.square().sum(), x, retain_graph=True, allow_unused=True)
                assert grad is not None and bool(grad.any()), f"{name}: no gradient reaches the input"


@when(is_discriminator)
def check_returns_logits(plugin: Plugin) -> None:
    """A DiscriminatorOutput whose logits start with the batch and are no probabilities."""
    for interface in interfaces(plugin):
        network = build(plugin, interface)
        output = network(input_of(interface))
        assert isinstance(output, DiscriminatorOutput), f"it returns {type(output).__name__}, not a DiscriminatorOutput"
        assert output.logits.shape[0] == _ROWS, f"logits of shape {tuple(output.logits.shape)} for {_ROWS} samples"
        x = input_of(interface, scale=100.0)
        # one may have small logits by chance
        several = [build(plugin, interface, seed)(x).logits.detach() for seed in range(5)]
        assert all(bool(wide.isfinite().all()) for wide in several), "logits of large input are not finite"
        assert any(bool(((wide < 0) | (wide > 1)).any()) for wide in several), (
            "all logits lie in [0, 1]: return logits, without a sigmoid"
        )


@when(is_discriminator)
def check_gradient_reaches_the_input(plugin: Plugin) -> None:
    """The generator learns through the discriminator."""
    interface = first_interface(plugin)
    x = input_of(interface).requires_grad_()
    (grad,) = torch.autograd.grad(build(plugin, interface)(x).logits.sum(), x)
    assert bool(grad.isfinite().all()), "the gradient at the input is not finite"
    assert bool((grad != 0).any()), "no gradient reaches the input"


@when(is_discriminator)
def check_number_of_logits(plugin: Plugin) -> None:
    """``interface.logits`` numbers a sample on the second axis, unless it is refused."""
    for interface in accepted(plugin, logits=3):
        shape = tuple(build(plugin, interface)(input_of(interface)).logits.shape)
        assert shape[:2] == (_ROWS, 3), f"3 logits were requested, the output has shape {shape}"


@when(is_discriminator)
def check_packs(plugin: Plugin) -> None:
    """``interface.pack`` samples joined along the channels are scored as one, unless that is refused."""
    for interface in accepted(plugin, pack=2):
        assert build(plugin, interface)(input_of(interface)).logits.shape[0] == _ROWS


@when(is_discriminator)
def check_heads(plugin: Plugin) -> None:
    """``interface.heads`` are further outputs, (B, size) each, unless they are refused."""
    for interface in accepted(plugin, heads={"class": 5}):
        heads = build(plugin, interface)(input_of(interface)).heads
        assert set(heads) == {"class"}, f"the head 'class' was requested, there are {sorted(heads)}"
        assert tuple(heads["class"].shape) == (_ROWS, 5), (
            f"a head of size 5 has the shape {tuple(heads['class'].shape)}"
        )


@when(lambda plugin: is_discriminator(plugin) and provides("features")(plugin))
def check_features(plugin: Plugin) -> None:
    """As "features" promises: activations of hidden layers, one row a sample."""
    interface = first_interface(plugin)
    found = build(plugin, interface)(input_of(interface)).features
    assert found and all(layer.shape[0] == _ROWS for layer in found), "it provides features, and returns none"


def _runs(plugin: Plugin, interface: Interface) -> bool:
    """Whether a network takes what it was built for: not all that accept something given have a place for labels."""
    try:
        build(plugin, interface)(*interface.example(device="cpu"))
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
    return True


def main(output: Any) -> Tensor:
    """A generator's samples, or a discriminator's logits."""
    tensor: Tensor = output.logits if isinstance(output, DiscriminatorOutput) else output
    return tensor


def any_size(plugin: Plugin) -> bool:
    """Whether it says that it can be run at other sizes than it was built for."""
    return is_generator(plugin) and "any-size" in getattr(
        build(plugin, first_interface(plugin), device="meta"), "provides", ()
    )


@when(any_size)
def check_other_sizes(plugin: Plugin) -> None:
    """One with ``any-size`` takes sides that are multiples of its ``multiple``, and scales them as it was built to."""
    interface = first_interface(plugin)
    network: Any = build(plugin, interface)
    assert interface.makes is not None, "a generator makes something"
    channels, *side = interface.takes.shape
    multiple = getattr(network, "multiple", 1)
    larger = [length + more * multiple for length, more in zip(side, (1, 2))]
    x = torch.rand(2, channels, *larger, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        made = network(x)
    wanted = [length * out // taken for length, out, taken in zip(larger, interface.makes.shape[1:], side)]
    assert tuple(made.shape) == (2, interface.makes.shape[0], *wanted), (
        f"{larger} become {tuple(made.shape)}, and not {wanted}"
    )
    assert bool(made.isfinite().all()), "values that are not finite"
