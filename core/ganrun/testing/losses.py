"""What a loss has to keep."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ganrun.game import DiscriminatorOutput, Game, Round, Side, Stream
from ganrun.testing.conditions import provides, when
from ganrun.testing.plugin import Plugin

ROWS = 6
SHAPES = ((ROWS,), (ROWS, 1, 3, 3))  # one logit a sample, or one a patch
SIDES: tuple[Side, Side] = ("discriminator", "generator")
GAME = Game("adversarial", "discriminator", player="discriminator", against=("generator",))


def logits_of(shape: tuple[int, ...], seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal logits that want a gradient."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (scale * drawn).to(dtype).requires_grad_()


def round_of(loss: Any, side: Side, shape: tuple[int, ...], *, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Round:
    """A round as the engine hands it to the loss, with targets on the discriminator's side."""
    streams = [Stream(torch.zeros(shape[0], 2), "real")]
    streams += [Stream(torch.zeros(shape[0], 2), "fake") for _ in range(getattr(loss, "fakes", 1))]
    if side == "generator" and not loss.real_in_generator:
        del streams[0]
    for number, stream in enumerate(streams):
        stream.output = DiscriminatorOutput(logits_of(shape, number, scale, dtype))
        if side == "discriminator" and "targets" in loss.provides:
            stream.target = torch.full_like(stream.logits, loss.targets(stream.role), requires_grad=False)
    return Round(GAME, side, streams)


def values_of(loss: Any, round: Round) -> dict[Stream, Tensor]:
    """Stream -> values, as the engine asks for them."""
    return dict(loss.discriminator(round) if round.side == "discriminator" else loss.generator(round))


def total(values: dict[Stream, Tensor]) -> Tensor:
    """What the engine minimises."""
    return torch.stack([value.mean() for value in values.values()]).sum()


def check_values_have_one_row_a_sample(plugin: Plugin) -> None:
    """Each side returns, for streams of the round, finite values whose first axis is the batch."""
    loss = plugin.part.make()
    for side in SIDES:
        for shape in SHAPES:
            round = round_of(loss, side, shape)
            values = values_of(loss, round)
            assert values, f"the {side}'s side of logits {shape} has no values"
            for stream, value in values.items():
                assert stream in round.streams, f"the {side}'s side returns a stream that is not in the round"
                assert value.dim() > 0 and value.shape[0] == ROWS, f"{side}, logits {shape}: values of shape {tuple(value.shape)}"
                assert bool(value.isfinite().all()), f"{side}, logits {shape}: values are not finite"


def check_finite_for_large_logits(plugin: Plugin) -> None:
    """Values and gradients stay finite for logits in the hundreds."""
    loss = plugin.part.make()
    for side in SIDES:
        round = round_of(loss, side, SHAPES[0], scale=300.0)
        value = total(values_of(loss, round))
        grads = torch.autograd.grad(value, [stream.logits for stream in round.streams], allow_unused=True)
        assert bool(value.isfinite()), f"the {side}'s side is {float(value.detach())} for logits around 300"
        assert all(grad is None or bool(grad.isfinite().all()) for grad in grads), f"{side}: a gradient is not finite for logits around 300"


def check_gradient_reaches_the_logits(plugin: Plugin) -> None:
    """The discriminator learns from every stream, the generator from the fakes."""
    loss = plugin.part.make()
    for side in SIDES:
        round = round_of(loss, side, SHAPES[1])
        grads = torch.autograd.grad(total(values_of(loss, round)), [stream.logits for stream in round.streams], allow_unused=True)
        for stream, grad in zip(round.streams, grads):
            if side == "discriminator" or stream.role == "fake":
                assert grad is not None and bool((grad != 0).any()), f"the {side}'s side sends no gradient to the {stream.role} logits"


def check_number_formats(plugin: Plugin) -> None:
    """float64 logits give float64 values; bfloat16 logits, as mixed precision brings them, give finite ones."""
    loss = plugin.part.make()
    for side in SIDES:
        for value in values_of(loss, round_of(loss, side, SHAPES[1], dtype=torch.float64)).values():
            assert value.dtype == torch.float64, f"the {side}'s side turns float64 into {value.dtype}"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for value in values_of(loss, round_of(loss, side, SHAPES[1], dtype=torch.bfloat16)).values():
                assert value.is_floating_point() and bool(value.isfinite().all()), f"the {side}'s side fails in bfloat16"


def check_generator_ignores_targets(plugin: Plugin) -> None:
    """Targets belong to the discriminator's side: label tricks never reach the generator."""
    loss = plugin.part.make()
    plain, marked = (round_of(loss, "generator", SHAPES[0]) for _ in range(2))
    for stream in marked.streams:
        stream.target = torch.full_like(stream.logits, math.nan, requires_grad=False)
    assert torch.equal(total(values_of(loss, plain)), total(values_of(loss, marked))), "the generator's side reads stream.target"


def check_targets_agree_with_provides(plugin: Plugin) -> None:
    """``targets`` returns numbers if the loss provides "targets", else None."""
    loss = plugin.part.make()
    found = [loss.targets(role) if hasattr(loss, "targets") else None for role in ("real", "fake")]
    if "targets" in loss.provides:
        assert all(isinstance(target, int | float) and math.isfinite(target) for target in found), f"targets returns {found}"
        assert found[0] != found[1], "real and fake samples have one target, so there is nothing to tell apart"
    else:
        assert found == [None, None], f'targets returns {found}, but the loss does not provide "targets"'


@when(provides("targets"))
def check_targets_are_used(plugin: Plugin) -> None:
    """The discriminator's side compares with ``stream.target``, which tricks change, not with numbers of its own."""
    loss = plugin.part.make()
    plain, moved = (round_of(loss, "discriminator", SHAPES[0]) for _ in range(2))
    for stream in moved.streams:
        assert stream.target is not None
        stream.target = stream.target + 0.25
    for one, other in zip(values_of(loss, plain).values(), values_of(loss, moved).values()):
        assert not torch.equal(one, other), "another target changes nothing: use stream.target"


@when(provides("per-sample-generator"))
def check_generator_judges_each_sample_alone(plugin: Plugin) -> None:
    """As "per-sample-generator" promises: a sample's value depends on its own logits."""
    loss = plugin.part.make()
    round = round_of(loss, "generator", SHAPES[1])
    for stream, value in values_of(loss, round).items():
        (grad,) = torch.autograd.grad(value[0].sum(), stream.logits)
        assert not bool(grad[1:].any()), "the value of sample 0 depends on the logits of others"


def check_is_a_function_of_the_round(plugin: Plugin) -> None:
    """The same round gives the same values, and is left as it was."""
    loss = plugin.part.make()
    for side in SIDES:
        round = round_of(loss, side, SHAPES[0])
        before = [stream.logits.detach().clone() for stream in round.streams]
        first, second = total(values_of(loss, round)), total(values_of(plugin.part.make(), round))
        assert torch.equal(first, second), f"the {side}'s side gives other values for the same round"
        assert all(torch.equal(old, stream.logits) for old, stream in zip(before, round.streams)), f"{side}: logits are changed in place"
