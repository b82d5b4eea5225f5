"""A round, one game in one turn: streams go through the discriminator, the loss gives values, values become terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from ganrun.contracts.protocols import TargetedLoss
from ganrun.engine.boundaries import check_gradient, check_mapping, check_values
from ganrun.engine.discriminate import discriminate
from ganrun.engine.turn import Turn
from ganrun.words.game import Call, DiscriminatorOutput, Round, Stream


def play_round(turn: Turn, round: Round) -> None:
    """Send a round's streams through its discriminator, and add the terms of the turn's side."""
    send(turn, round, round.streams, overrides=turn.overrides.get(round.game.discriminator))
    if round.side == "watcher":  # the loss has no side for it: the variant makes terms of the outputs
        return
    game = round.game
    if round.side == "discriminator":
        values = discriminator_values(turn, round)
    elif game.symmetric:
        # Tricks change the discriminator's targets alone, such as one-sided label smoothing.
        values = discriminator_values(turn, swapped(round), tricks=False)
    else:
        loss = turn.loss(game.name)
        values = loss.generator(round)
        check_values(loss, "generator", values, round)
    if round.side == "generator":
        check_gradient(turn, round, values)
    for stream, value in values.items():
        turn.add(
            f"{game.name}.{stream.name or stream.role}",
            mean(value, stream),
            turn.now(game.weight.get(round.side, 1.0)),
            game=game.name,
        )


def streams_of(turn: Turn) -> dict[str, list[Stream]]:
    """Game -> what the variant shows its discriminator in this turn.

    Each fake knows the entry of ``turn.made`` that it shows, if it shows one as it is.
    """
    streams: dict[str, list[Stream]] = turn.variant.streams(turn)
    check_mapping(turn.variant, "streams", streams, "game -> its streams")
    shown = {id(made): name for name, made in reversed(turn.made.items())}  # the first of two names for one tensor
    for stream in (stream for found in streams.values() for stream in found):
        if stream.role == "fake" and not stream.entry:
            stream.entry = shown.get(id(stream.x), "")
    return streams


def send(
    turn: Turn,
    round: Round,
    streams: Sequence[Stream],
    *,
    tag: str = "adversarial",
    overrides: Mapping[str, Tensor] | None = None,
) -> None:
    """Fill in the outputs of some streams of a round."""
    calls = [Call(round, s.x, s.role, s.given, tag, s.weight) for s in streams]
    for stream, output in zip(streams, discriminate(turn, calls, leaf=[s.leaf for s in streams], overrides=overrides)):
        stream.output = output


def score(turn: Turn, round: Round, output: DiscriminatorOutput) -> Tensor:
    """The score of an output, (B, ...), as the loss defines it: one number a sample or patch, larger is more real."""
    loss = turn.loss(round.game.name)
    if not hasattr(loss, "score"):
        return output.logits
    unseen = [s for s in round.streams if s.output is None and s.role in getattr(loss, "score_sees", ())]
    if unseen:  # in a regularisation phase, where no game is played
        send(turn, round, unseen, tag="penalty")
    found: Tensor = loss.score(round, output.logits)
    return found


def discriminator_values(turn: Turn, round: Round, *, tricks: bool = True) -> Mapping[Stream, Tensor]:
    """Stream -> values (B, ...) of the discriminator's side. First the targets are set, and tricks may change them."""
    loss = turn.loss(round.game.name)
    if "targets" in loss.provides:
        for stream in round.streams:
            assert stream.output is not None
            found = score(turn, round, stream.output)
            exact = torch.promote_types(found.dtype, torch.float32)  # 0.9 is 0.898 in bfloat16
            target = cast(TargetedLoss, loss).targets(stream.role)
            assert target is not None, "a loss that provides targets has one for each role"
            stream.target = torch.full_like(found, turn.now(target), dtype=exact, requires_grad=False)
        if tricks:
            turn._engine.hooks.targets(turn=turn, round=round)
    values: Mapping[Stream, Tensor] = loss.discriminator(round)
    check_values(loss, "discriminator", values, round)
    return values


def discriminator_loss(turn: Turn, round: Round, overrides: Mapping[str, Tensor] | None) -> Tensor:
    """The scalar of a round's discriminator side, on streams of its own, so that the round stays as it is."""
    streams = [replace(s, output=None, target=None) for s in round.streams]
    if not round.of("real"):
        streams = turn.streams(round.game.name, "real") + streams
    inner = replace(round, side="discriminator", streams=streams)
    send(turn, inner, inner.streams, tag="unrolling", overrides=overrides)
    values = discriminator_values(turn, inner)
    total: Tensor = torch.stack([mean(value, stream) for stream, value in values.items()]).sum()
    return turn.now(round.game.weight.get("discriminator", 1.0)) * total


def mean(values: Tensor, stream: Stream) -> Tensor:
    """(B, ...) -> scalar: the weighted sum over samples, each the mean of its patches, divided by the rows."""
    assert stream.output is not None
    per_sample = values.flatten(1).mean(1) if values.dim() > 1 else values  # (B,)
    weight = stream.output.weight
    if isinstance(weight, int | float) and weight == 1:
        return per_sample.sum() / per_sample.shape[0]
    return (per_sample * weight).sum() / per_sample.shape[0]


def swapped(round: Round) -> Round:
    """The round of a symmetric game as the other side sees it: real and fake change places."""
    opposite: Any = {"real": "fake", "fake": "real"}
    return replace(round, streams=[replace(s, role=opposite[s.role]) for s in round.streams])
