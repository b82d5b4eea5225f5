"""Checks of what plugins return in a step: types and shapes, no value of any tensor.

A wrong one raises WrongResult, which names the plugin. Where a later one fails because of an earlier one, the events in
between are called again to find which of them is at fault: the run has failed by then, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganrun.catalog.attribution import broken
from ganrun.errors import BrokenPlugin, UserError, WrongResult
from ganrun.words.game import Call, DiscriminatorOutput, Round, Stream, Term

if TYPE_CHECKING:
    from ganrun.engine.engine import Engine
    from ganrun.engine.turn import Turn

# What a network, or the core, raises for a tensor of a shape that it cannot use.
OF_SHAPES = (RuntimeError, ValueError, TypeError, AssertionError, IndexError)

BEFORE_A_CALL = ("augment", "corrupt", "pack")  # the events that change what a discriminator sees


def shown(value: Any) -> str:
    """A value as a message shows it: of a tensor its shape and type."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
    if value is None or isinstance(value, int | float | str):
        return repr(value)
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


# --- checked in every step ------------------------------------------------------------------------------------


def check_scalar(name: str, value: Any) -> None:
    """Raise TypeError for a term that is not one number."""
    if not isinstance(value, Tensor) or value.dim() != 0:
        hint = "; take its mean or its sum" if isinstance(value, Tensor) else ""
        raise TypeError(
            f"turn.add({name!r}, value): expected one number, a tensor of shape (); got {shown(value)}{hint}"
        )


def check_shape(owner: Any, method: str, found: Any, shape: tuple[int, ...]) -> None:
    """Raise WrongResult for anything but a tensor of this shape."""
    if not isinstance(found, Tensor) or found.shape != shape:
        raise WrongResult(owner, method, f"a tensor of shape {shape}", shown(found))


def check_mapping(owner: Any, method: str, found: Any, of: str) -> None:
    """Raise WrongResult for what is no mapping."""
    if not isinstance(found, Mapping):
        raise WrongResult(owner, method, f"a mapping {of}", shown(found))


def check_terms(owner: Any, method: str, found: Any) -> None:
    """Raise WrongResult for anything but a mapping name -> Term whose values are numbers."""
    check_mapping(owner, method, found, "name -> Term")
    for name, term in found.items():
        if not isinstance(term, Term):
            raise WrongResult(owner, method, f"a Term as {name!r}", shown(term))
        if not isinstance(term.value, Tensor) or term.value.dim() != 0:
            raise WrongResult(
                owner, method, f"one number as the term {name!r}, a tensor of shape ()", shown(term.value)
            )


def check_values(loss: Any, method: str, found: Any, round: Round) -> None:
    """Raise WrongResult for what a loss must not return: anything but a mapping stream -> values (B, ...)."""
    check_mapping(loss, method, found, "stream -> values, one or more a sample")
    for stream, value in found.items():
        if not isinstance(stream, Stream):
            raise WrongResult(loss, method, "the round's streams as keys", shown(stream))
        if not isinstance(value, Tensor) or value.dim() == 0:
            expected = f"values (B, ...) for the {stream.role} stream of game {round.game.name!r}"
            raise WrongResult(loss, method, expected, shown(value))


def check_output(module: Any, found: Any, rows: int) -> None:
    """Raise WrongResult for anything but a DiscriminatorOutput with logits of these rows."""
    if not isinstance(found, DiscriminatorOutput):
        raise WrongResult(module, "forward", "a DiscriminatorOutput(logits, ...)", shown(found))
    logits = found.logits
    if not isinstance(logits, Tensor) or logits.shape[:1] != (rows,):
        raise WrongResult(module, "forward", f"logits of shape ({rows}, ...)", shown(logits))


def check_batch(dataset: Any, batch: Mapping[str, Any]) -> None:
    """Raise WrongResult for a batch that lacks an entry of the data set's spaces, or has one of another shape."""
    for name, space in dataset.spaces.items():
        found = batch.get(name)
        if not isinstance(found, Tensor) or found.shape[1:] != space.shape:
            raise WrongResult(dataset, "batch", f"{name!r} of shape (B, {str(space.shape)[1:-1]})", shown(found))


def check_made(engine: Engine, turn: Turn) -> None:
    """Raise WrongResult for an output of another shape than the data have, naming the network that makes it.

    A turn may leave out an output that it has no use for, as where an encoder alone learns; not everything in a game.
    """
    spaces = engine.experiment.dataset.spaces
    for name in engine.experiment.description.outputs:
        found = turn.made.get(name)
        if found is None and (turn.made or turn.phase.games == ()):
            continue
        if name in spaces and (not isinstance(found, Tensor) or found.shape[1:] != spaces[name].shape):
            _look_at_networks(engine)
            shape = ", ".join(("B", *map(str, spaces[name].shape)))
            raise WrongResult(
                engine.variant, "make", f"turn.made[{name!r}] of shape ({shape}), as the data", shown(found)
            )


def check_gradient(turn: Turn, round: Round, values: Mapping[Stream, Tensor]) -> None:
    """Raise WrongResult where a game would teach the generator's player nothing, naming what lost the gradient."""
    if not any(value.requires_grad for value in values.values()):
        raise _lost_gradient(turn, round)


def made_optimizer(part: Any, parameters: Sequence[Any]) -> torch.optim.Optimizer:
    """What an optimizer's ``make`` gives for some parameters. Raises WrongResult for anything but torch's."""
    found = part.make(list(parameters))
    if not isinstance(found, torch.optim.Optimizer):
        raise WrongResult(part, "make", "a torch.optim.Optimizer", shown(found))
    return found


# --- only when something has failed -----------------------------------------------------------------------------


def _look_at_networks(engine: Engine) -> None:
    """Raise WrongResult for a network that makes another shape than it is asked for."""
    for name, network in engine.experiment.description.networks.items():
        module, interface = engine.modules[name], network.interface
        if interface.makes is None:
            continue
        dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), None)
        with torch.no_grad():
            found = module(*interface.example(2, str(engine.device), dtype))
        if not isinstance(found, Tensor) or found.shape[1:] != interface.makes.shape:
            shape = ", ".join(("2", *map(str, interface.makes.shape)))
            raise WrongResult(module, "forward", f"a tensor of shape ({shape}) from 2 rows", shown(found))


def explained(error: Exception, turn: Turn, calls: Sequence[Call], shapes: Sequence[torch.Size]) -> Exception:
    """Why a discriminator failed: a stream of the variant, or an event of a trick, of a wrong shape; else ``error``.

    shapes: those of the calls before the events.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return error
    engine: Engine = turn._engine
    for call, shape in zip(calls, shapes):
        game = call.round.game
        takes = engine.experiment.description.networks[game.discriminator].interface.takes
        if call.tag == "adversarial" and tuple(shape[1:]) != takes.shape:
            expected = f"streams of shape (B, {str(takes.shape)[1:-1]}) for game {game.name!r}"
            return WrongResult(engine.variant, "streams", expected, f"shape {tuple(shape)}")
        fresh = Call(call.round, torch.zeros(shape, device=engine.device), call.role, call.given, call.tag)
        for plugin, event in _played(engine, turn, fresh, BEFORE_A_CALL):
            same = fresh.x.numel() == shape.numel() if event == "pack" else fresh.x.shape == shape
            if not same:
                return WrongResult(plugin, event, f"call.x of shape {tuple(shape)}, as before", shown(fresh.x))
    return error


def _played(engine: Engine, turn: Turn, call: Call, stages: Sequence[str]) -> Iterator[tuple[Any, str]]:
    """Call the implementations of some events one after the other; gives each one's plugin and event after it."""
    payload = {"turn": turn, "call": call}
    for event in stages:
        for implementation in _implementations(engine, event):
            implementation.function(**{name: payload[name] for name in implementation.argnames})
            yield implementation.plugin, event


def _lost_gradient(turn: Turn, round: Round) -> Exception:
    """Who detached the fakes of a generator's side: followed from where they are made to the loss."""
    engine: Engine = turn._engine
    game, expected = round.game.name, "fakes whose gradient reaches the generator"
    came = f"detached ones in game {round.game.name!r}"
    fakes = [stream for stream in round.of("fake") if stream.output is not None]
    if any(stream.output.logits.requires_grad for stream in fakes if stream.output):
        wanted = f"values that depend on the logits of game {game!r}"
        return WrongResult(turn.loss(game), "generator", wanted, "detached ones")
    turn.rounds = engine.rounds(turn)
    if not _differentiable(turn, game):
        made = any(tensor.requires_grad for tensor in turn.made.values())
        return WrongResult(engine.variant, "streams" if made else "make", expected, came)
    for implementation in _implementations(engine, "generated"):
        implementation.function(**dict.fromkeys(implementation.argnames, turn))
        if not _differentiable(turn, game):
            return WrongResult(implementation.plugin, "generated", expected, came)
    for stream in fakes:
        call = Call(round, torch.zeros_like(stream.x).requires_grad_() + 0, "fake", stream.given)
        for plugin, event in _played(engine, turn, call, BEFORE_A_CALL):
            if not call.x.requires_grad:
                return WrongResult(plugin, event, "call.x that depends on what it was", came)
    module = engine.modules[round.game.discriminator]
    return WrongResult(module, "forward", "logits that depend on the samples", "detached ones")


def _implementations(engine: Engine, event: str) -> Iterator[Any]:
    """Those of an event, in the order in which they are called."""
    yield from reversed(getattr(engine.hooks, event).get_hookimpls())


def _differentiable(turn: Turn, game: str) -> bool:
    """Whether a fake of a game has a gradient."""
    return any(s.x.requires_grad for round in turn.rounds if round.game.name == game for s in round.of("fake"))


class BackwardError(UserError):
    """The gradients of a turn's terms cannot be computed."""

    exit_code = 1


def backward_failed(turn: Turn, error: Exception) -> UserError:
    """The message for a backward pass that failed: the terms, and those that fail by themselves."""
    parameters = turn._engine.parameters[turn.player]
    failing = [name for name, term in turn.terms.items() if not _has_gradient(term, parameters)]
    which = f"; {' and '.join(failing)} alone {'fails' if len(failing) == 1 else 'fail'}, too" if failing else ""
    terms = f"phase {turn.phase.name}: the gradients of its terms ({', '.join(turn.terms)}) cannot be computed{which}"
    named = broken(error)
    if named is not None:
        return BrokenPlugin(f"{terms}\n{named}")
    text = " ".join(str(error).split())
    return BackwardError(f"{terms}\n  {type(error).__name__}: {text}\n  --debug prints the whole traceback")


def _has_gradient(term: Term, parameters: Sequence[Tensor]) -> bool:
    try:
        torch.autograd.grad(term.value, list(parameters), retain_graph=True, allow_unused=True)
    except Exception:  # of whatever kind a plugin's own gradient raises
        return False
    return True
