"""Calls of a discriminator: the only way to it, for the engine, variants, losses and tricks alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call

from ganrun.engine.boundaries import OF_SHAPES, check_output, explained
from ganrun.engine.turn import Turn, own_buffers
from ganrun.words.game import Call, DiscriminatorOutput

if TYPE_CHECKING:
    from ganrun.engine.engine import Engine

EVENTS_OF_CALL: Mapping[str, Sequence[str]] = {
    "adversarial": ("augment", "corrupt", "pack"),
    "consistency": ("augment", "corrupt", "pack"),
    "unrolling": ("augment", "corrupt", "pack"),
    "penalty": ("pack",),
    "feature": ("pack",),
}


def discriminate(
    turn: Turn,
    calls: Sequence[Call],
    *,
    leaf: Sequence[bool],
    through: Sequence[str] | None = None,
    overrides: Mapping[str, Tensor] | None = None,
) -> list[DiscriminatorOutput]:
    """Send calls of one round through its discriminator; see :meth:`Turn.discriminate`.

    If ``train.batches`` is ``joint``, adversarial and unrolling calls share one forward; all others have one each.
    """
    hooks = turn._engine.hooks
    leaves: list[Tensor | None] = []
    shapes = [call.x.shape for call in calls]
    for call, wanted in zip(calls, leaf):  # detached before the stages, so that the gradient is that of the sample
        if wanted:
            call.x = call.x.detach().requires_grad_()
        leaves.append(call.x if wanted else None)
        turn.transform(call, EVENTS_OF_CALL[call.tag] if through is None else through)
    try:
        if calls and calls[0].tag in ("adversarial", "unrolling") and turn._engine.settings.batches == "joint":
            outputs = _jointly(turn, calls, overrides)
        else:
            outputs = [_forward(turn, call, overrides, call.x, call.given) for call in calls]
    except OF_SHAPES as error:
        raise explained(error, turn, calls, shapes) from error
    for call, output, x in zip(calls, outputs, leaves):
        if call.round.game.logits is not None:
            output.logits = call.round.game.logits(output)
        output.x = x
        output.weight = call.weight
        hooks.discriminator_output(turn=turn, call=call, output=output)
    return outputs


def _forward(
    turn: Turn, call: Call, overrides: Mapping[str, Tensor] | None, x: Tensor, given: tuple[Tensor, ...]
) -> DiscriminatorOutput:
    """One forward, whose result is checked for its type and shape."""
    output: DiscriminatorOutput = _called(turn, call, overrides, x, given)
    check_output(turn._engine.modules[call.round.game.discriminator], output, len(x))
    return output


def _called(
    turn: Turn, call: Call, overrides: Mapping[str, Tensor] | None, x: Tensor, given: tuple[Tensor, ...]
) -> Any:
    """What a discriminator returns. Only adversarial calls with its own weights may change its buffers.

    Penalties run in full precision, on the uncompiled module.
    """
    engine: Engine = turn._engine
    name = call.round.game.discriminator
    engine.seed_forward(turn)  # dropout of this forward
    if call.tag == "adversarial" and not overrides:
        return turn.modules[name](x, *given)
    module = engine.modules[name]
    # Copies of the buffers take what this forward would write: statistics of a penalty's interpolates, say, or of
    # other weights, are not the discriminator's.
    state = {**own_buffers(module), **(overrides or {})}
    if call.tag != "penalty":
        # Other weights may depend on x, as those of unrolling do. A gradient inside the network is that of its output
        # in its own input: with x itself it would run through the weights, and through all gradients behind them.
        return functional_call(module, state, (x.view_as(x), *given))
    # A penalty is a function of a gradient, and is differentiated itself. Compiled modules have no second derivative,
    # and slopes in bfloat16 would be coarse.
    with turn.full_precision():
        return functional_call(module, state, (x.to(torch.get_default_dtype()), *given))


def _jointly(turn: Turn, calls: Sequence[Call], overrides: Mapping[str, Tensor] | None) -> list[DiscriminatorOutput]:
    """One forward for all calls, its output split again."""
    sizes = [call.x.shape[0] for call in calls]
    x = torch.cat([call.x for call in calls])  # (sum of B, ...)
    given = tuple(torch.cat(tensors) for tensors in zip(*(call.given for call in calls)))
    output = _forward(turn, calls[0], overrides, x, given)
    logits = output.logits.split(sizes)
    features = [layer.split(sizes) for layer in output.features]
    heads = {name: head.split(sizes) for name, head in output.heads.items()}
    return [
        DiscriminatorOutput(
            logits[i], [layer[i] for layer in features], {name: head[i] for name, head in heads.items()}
        )
        for i in range(len(calls))
    ]
