"""LeCam: the discriminator's scores are held near running means of the other side's scores.

Paper: Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data" (2021), section 3.3. With s(x)
the score (0 is undecided) and r, f the running means of the scores of real samples and of fakes, on the discriminator's
side:

    + weight * (E relu(s(x) - f)^2 + E relu(r - s(G(z)))^2)

The ramps are those of the authors' code: a real sample is penalised above the mean of fakes, a fake below that of real
samples. The paper's formula has plain squares (``ramp: false``). weight 0.3 and decay 0.99 are for BigGAN on CIFAR,
3e-7 for StyleGAN2; the code's decay is 0.9. Until ``start`` the running means are those of the last turn and the term
has no weight.

The means of a turn enter the running means after the turn, so that all micro-batches of a step see the same ones (the
code updates first; before the first turn has ended they are the turn's own). They are averaged over processes, and
every game has its own. Scores of patches count one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Duration, Experiment, Reason, Role, Round, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._moments import warn_of_late


class LeCam:
    """Keeps running means of both sides' scores, and penalises the distance from them."""

    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset({"overfitting-discriminator", "saturated-discriminator"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there are no scores whose running means could be kept", "a variant with a game"),
        "logit:signed": Reason(
            "running means of scores anchor them only if the scores have an origin: a shift of all scores, "
            "or an energy, means nothing to them",
            "a loss with signed logits, such as non-saturating, hinge or least-squares",
        ),
    }

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="weight of the sum of both squares")] = Scheduled(0.3),
        decay: Annotated[
            Scheduled, Field(ge=0, le=1, description="share of the old running mean that is kept at an update")
        ] = Scheduled(0.99),
        start: Annotated[
            Duration, Field(description="until then there is no penalty, and nothing is averaged")
        ] = Duration(1000),
        ramp: Annotated[
            bool, Field(description="whether only scores beyond the other side's mean are penalised")
        ] = True,
    ) -> None:
        self.weight, self.decay = weight, decay
        self.start = Duration.parse(start)
        self.ramp = ramp
        self.means: dict[str, Tensor] = {}  # game -> (2,): of real samples, of fakes
        self._seen: dict[str, list[Tensor]] = {}

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        warn_of_late(experiment, "lecam", self.start)

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for round in turn.rounds:
            if round.side == "discriminator":
                real, fake = scores(turn, round, "real"), scores(turn, round, "fake")
                seen = turn.mean_over_processes(torch.stack([real.detach().mean(), fake.detach().mean()]))
                self._seen.setdefault(round.game.name, []).append(seen)
                mean_real, mean_fake = self.means.get(round.game.name, seen).to(seen).unbind()
                value = self._square(real - mean_fake) + self._square(mean_real - fake)
                turn.add(f"{round.game.name}.lecam", value, turn.now(self.weight) if self._started(turn) else 0.0)

    @hookimpl
    def updated(self, turn: Turn) -> None:
        decay = turn.now(self.decay) if self._started(turn) else 0.0
        for round in turn.rounds:
            seen = self._seen.pop(round.game.name, None)
            if seen is not None:
                new = torch.stack(seen).mean(0)  # over micro-batches
                self.means[round.game.name] = self.means.get(round.game.name, new).to(new).lerp(new, 1.0 - decay)

    def _started(self, turn: Turn) -> bool:
        return turn.step >= self.start.steps(turn.clock)

    def _square(self, excess: Tensor) -> Tensor:
        """(N,) -> scalar."""
        return (excess.relu() if self.ramp else excess).square().mean()

    def state_dict(self) -> dict[str, Any]:
        """Game -> the running means of real samples' and of fakes' scores, (2,)."""
        return dict(self.means)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        self.means = {name: means.clone() for name, means in state.items()}


def scores(turn: Turn, round: Round, role: Role) -> Tensor:
    """All scores of a role, of all its patches, (N,). At least float32."""
    outputs = [stream.output for stream in round.of(role) if stream.output is not None]
    found = torch.cat([turn.score(round, output).flatten() for output in outputs])
    return found.to(torch.promote_types(found.dtype, torch.float32))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "lecam", LeCam)
