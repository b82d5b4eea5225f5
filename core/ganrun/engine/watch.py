"""What the latest turns gave, kept so that a number which is not finite is found later, without waiting for it now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ganrun.words.game import Player

if TYPE_CHECKING:
    from ganrun.experiment.experiment import Experiment

REMEMBERED = 1024  # turns that are remembered if nobody looks
KEPT_GRADIENT = 1024  # numbers of a gradient that is kept: a few kilobytes a turn


@dataclass(frozen=True)
class Wrong:
    """The first number that is not finite. step: counted from 1, as a run counts the steps that it has done.

    what: such as ``the term image.fake``. value: ``nan``, ``inf`` or ``-inf``.
    """

    step: int
    phase: str
    player: str
    what: str
    value: float


class _Seen(NamedTuple):  # a data class takes four times as long to make
    step: int
    phase: str
    player: str
    names: Sequence[str]  # of the terms
    logged: Mapping[str, Tensor]
    gradients: Sequence[Tensor]

    def values(self) -> list[tuple[str, Tensor]]:
        """What was kept: what it is, and the numbers."""
        terms = [(f"the term {name}", self.logged[name]) for name in self.names if name in self.logged]
        return [*terms, *(("the gradient", gradient) for gradient in self.gradients)]


class Watch:
    """Remembers of every turn its terms and a small gradient of each of its player's modules, where they lie.

    Nothing is computed until somebody looks, so a turn costs a few references. What is not finite anywhere in a
    backward pass reaches the layers next to the input, so one small gradient there shows it for the whole module.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._kept = {name: _next_to_the_input(experiment, player) for name, player in experiment.players.items()}
        self._seen: deque[_Seen] = deque(maxlen=REMEMBERED)

    def __len__(self) -> int:
        """How many turns are remembered."""
        return len(self._seen)

    def saw(self, step: int, phase: str, player: str, names: Sequence[str], logged: Mapping[str, Tensor]) -> None:
        """Remember a turn of a step, counted from 0, whose gradients are there still."""
        gradients = [parameter.grad for parameter in self._kept[player] if parameter.grad is not None]
        self._seen.append(_Seen(step + 1, phase, player, names, logged, gradients))

    def forget(self) -> None:
        """Remember nothing, such as after going back."""
        self._seen.clear()

    def look(self) -> list[Wrong]:
        """What was not finite since the last look, oldest first; empty if all was well. Waits for the device."""
        seen = list(self._seen)
        self._seen.clear()
        if all_finite(value for turn in seen for _, value in turn.values()):
            return []
        return [
            Wrong(turn.step, turn.phase, turn.player, what, _first_wrong(value))
            for turn in seen
            for what, value in turn.values()
            if not bool(value.isfinite().all())
        ]


def all_finite(values: Iterable[Tensor]) -> bool:
    """Whether all numbers of some small tensors are finite, found by few operations."""
    groups: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for value in values:
        groups.setdefault((value.dtype, value.device), []).append(value.detach().reshape(-1))
    return all(bool(torch.cat(group).isfinite().all()) for group in groups.values())


def names_not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of those tensors that hold a number which is not finite.

    One pass over all numbers: a sum is not finite if one of its numbers is not. It may overflow, too, so only what it
    finds is looked at closely.
    """
    floats = {name: tensor.detach() for name, tensor in tensors.items() if tensor.is_floating_point()}
    if all_finite(tensor.sum() for tensor in floats.values()):
        return []
    return [name for name, tensor in floats.items() if not bool(tensor.isfinite().all())]


def _first_wrong(value: Tensor) -> float:
    flat = value.detach().reshape(-1)
    return float(flat[~flat.isfinite()][0])


def _next_to_the_input(experiment: Experiment, player: Player) -> list[nn.Parameter]:
    """Of each module of a player the first parameter that is small, if one is."""
    own = {id(parameter) for parameter in experiment.parameters(player)}
    of_modules = ([p for p in experiment.module(name).parameters() if id(p) in own] for name in player.modules)
    return [small[0] for some in of_modules if (small := [p for p in some if p.numel() <= KEPT_GRADIENT])]
