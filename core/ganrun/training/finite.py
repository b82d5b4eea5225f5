"""Whether the numbers of a run are still finite: once they are not, it is reported, and no checkpoint is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganrun.engine.watch import Wrong, names_not_finite
from ganrun.errors import UserError
from ganrun.schedule import Scheduled, value_at
from ganrun.training.restore import last_good
from ganrun.words.finding import Finding

if TYPE_CHECKING:
    from ganrun.training.run import Run

LOST = "not-finite"  # of the finding
TURNS, SECONDS = 256, 10.0  # between two looks, each of which waits for the device


class NotFinite(UserError):
    """The weights of a run are not finite any more, and nobody went back: training ends."""

    exit_code = 1


class Finite:
    """Looks at what the engine remembers of its turns, and at the weights, on a stride and before what would keep them.

    Lost are weights that are not finite: no later step mends them. A term or a gradient that is not, while the weights
    stay finite, is reported once, and training continues.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._next = time.monotonic() + SECONDS
        self._said: set[tuple[str, str]] = set()
        self._told = False
        # such as a mask of minus infinity
        self._so_from_the_start = frozenset(names_not_finite(_buffers(run.experiment.modules)))

    def lost(self, *, at_once: bool = False) -> bool:
        """Whether the weights are lost, and a rollback was asked for, which follows.

        The finding is reported to observers first, and one of them may ask to go back. All processes call it alike; it
        looks every 256 turns or ten seconds, or ``at_once``.

        Raises:
            NotFinite: if they are lost and nobody asked to go back.
        """
        run = self.run
        late = run.processes.world == 1 and time.monotonic() > self._next
        if not (at_once or late or len(run.engine.watch) >= TURNS):
            return False
        self._next = time.monotonic() + SECONDS
        found = run.engine.watch.look()
        weights = self.weights()
        if run.processes.world > 1:  # the terms are those of each process, and so may be the buffers
            gathered = run.processes.gather((found, weights))
            found = sorted((wrong for some, _ in gathered for wrong in some), key=lambda wrong: wrong.step)
            weights = list(dict.fromkeys(name for _, some in gathered for name in some))
        if not weights:
            self._say(found)
            return False
        return self._report(found, weights)

    def forget(self) -> None:
        """The run went back: what was seen since is of no account."""
        self.run.engine.watch.forget()
        self._told = False

    def weights(self) -> list[str]:
        """The networks whose weights or buffers are not finite numbers."""
        modules = self.run.experiment.modules
        parameters = {f"{name} {key}": p for name, module in modules.items() for key, p in module.named_parameters()}
        wrong = set(names_not_finite(parameters | _buffers(modules))) - self._so_from_the_start
        return [name for name in modules if any(place.partition(" ")[0] == name for place in wrong)]

    def _say(self, found: list[Wrong]) -> None:
        for wrong in found:
            if (wrong.phase, wrong.what) not in self._said:
                self._said.add((wrong.phase, wrong.what))
                if self.run.is_main:
                    print(
                        f"warning: {place_of(wrong)}; the weights are still finite, so training continues", flush=True
                    )

    def _report(self, found: list[Wrong], weights: list[str]) -> bool:
        run = self.run
        players = [found[0].player] if found else self._players(weights)
        where = f"{place_of(found[0])}, and " if found else f"step {run.step}: an update of {' and '.join(players)}: "
        evidence = f"{where}the weights of {' and '.join(weights)} are not finite numbers any more"
        since = found[0].step if found else run.step
        if run.is_main and not self._told:
            run.report(Finding(LOST, evidence, {}, since, since - 1))
        self._told = True
        if run.processes.sums(float(run.going_back_to is not None))[0] > 0:
            return True
        # Whoever ends first ends the others: all wait until the main process knows what to say.
        text = run.processes.broadcast("\n".join([evidence, *self._ways_out(players)]) if run.is_main else None)
        raise NotFinite(text if run.is_main else f"process {run.processes.rank} ends, too: {evidence}")

    def _ways_out(self, players: list[str]) -> list[str]:
        run = self.run
        good = None if run.folder is None else last_good(run.experiment, run.folder)
        change = self._slower(players[0]) if players else "--set KEY=VALUE"
        remedies = ", ".join(run.remedies_for("exploding")[:4])
        tricks = f", or with a trick such as {remedies}" if remedies else ""
        if good is None:
            return [f"  no checkpoint is from before it; start again with a lower rate, such as {change}{tricks}"]
        return [
            f"  the last good checkpoint is that of step {good[0]}; the same steps would lead here again, so "
            f"continue from it with a lower rate{tricks}:",
            f"  {run.resume_command} --force {change}",
        ]

    def _players(self, networks: list[str]) -> list[str]:
        """The players that some of these networks are, or belong to."""
        players = self.run.experiment.players.values()
        return [p.name for p in players if {name.partition(".")[0] for name in p.modules} & set(networks)]

    def _slower(self, player: str) -> str:
        """The change of a recipe that halves a player's rate, where it is a number."""
        part = self.run.recipe.players[player].optimizer
        rate = self.run.experiment.optimizers[player].lr
        fixed = rate.constant if isinstance(rate, Scheduled) else True
        value = f"{value_at(rate, 0, self.run.experiment.clock) / 2:.6g}" if fixed else "VALUE"
        return f"--set players.{player}.optimizer.{part.name}.lr={value}"


def place_of(wrong: Wrong) -> str:
    """Where a number is not finite, in words."""
    phase = f" in the phase {wrong.phase}" if wrong.phase != wrong.player else ""
    return f"step {wrong.step}: {wrong.what} of the player {wrong.player}{phase} is {wrong.value}"


def _buffers(modules: Mapping[str, torch.nn.Module]) -> dict[str, Tensor]:
    """``network buffer`` -> buffer, of all networks."""
    return {f"{name} {key}": b for name, module in modules.items() for key, b in module.named_buffers()}
