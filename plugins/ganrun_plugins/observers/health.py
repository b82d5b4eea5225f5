"""The doctor: watches a run for collapse, oscillation, saturation, overfitting and explosion, and says what could help.

Every so often it measures the step just taken, makes samples from fixed latents, and shows the discriminators real
samples of both splits (:mod:`ganrun_plugins.observers._vitals`). What goes wrong for several checks in a row is a
finding, with a name, the numbers that show it, and the tricks that fit this recipe and declare that name among their
``remedies``. It is printed once, kept in ``health.jsonl`` and shown by progress until it is gone. ``policy`` says what
happens then: ``note`` continues, ``stop`` ends the run, ``rollback`` goes back to the last checkpoint at which all was
well, at most ``attempts`` times, then stops.

Samples are made with the weights and in the mode of training, or with those that a trick puts in their place for
sampling. A check changes no bit of a run. ``plateau`` names an evaluator, or one of its scores, that shows when a run
is finished.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Duration, Experiment, Finding, Refusal, Run, Turn, hookimpl
from ganrun_plugins.observers._findings import ADVICE, Check, Facts, Limits, Name, findings, plateau
from ganrun_plugins.observers._vitals import Bench, Values, of_gradients, of_update

FILE = "health.jsonl"
# Between two checks at least: steps, and training samples for each sample of a check. Then a check takes 0.4% of the
# time of the shipped dcgan_digits, and no more than 1.7% of that of the other offline recipes (benchmarks/doctor.py
# --cost).
STEPS, SAMPLES = 100, 25
FIRST, LAST = 8, 96  # checks kept: what a run began with, and what is happening now
SHOWN = 4  # remedies in a line
Found = TypeVar("Found")
LOST = "not-finite"  # what a run itself finds between two checks
NOTED = ("dead-augmentation", "plateau")  # going back would not mend these


class Health:
    """Only the main process checks, decides and prints; asking for a stop or a rollback reaches the others."""

    files: ClassVar[Sequence[str]] = (FILE,)

    def __init__(
        self,
        *,
        every: Annotated[
            Duration | None,
            Field(
                description="time between two checks; by default 100 steps, more if batches are small beside `samples`"
            ),
        ] = None,
        samples: Annotated[int, Field(ge=8, le=4096, description="samples of a check")] = 64,
        policy: Annotated[
            Literal["note", "stop", "rollback"], Field(description="what happens when something is found")
        ] = "note",
        attempts: Annotated[int, Field(ge=1, description="rollbacks before the run is stopped instead")] = 3,
        plateau: Annotated[
            str | None, Field(description="evaluator, or score, that has to get better; none by default")
        ] = None,
        patience: Annotated[int, Field(ge=2, description="evaluations in which it may fail to")] = 5,
        mode: Annotated[
            Literal["min", "max"], Field(description="whether a lower or a higher score is better")
        ] = "min",
        ignore: Annotated[tuple[Name, ...], Field(description="findings that are not reported")] = (),
    ) -> None:
        if every is not None and Duration.parse(every).unit == "minutes":
            raise Refusal("a resumed run makes its checks at the same steps, which minutes do not say", "every: 100")
        self.every = None if every is None else Duration.parse(every)
        self.samples, self.policy, self.attempts, self.ignore = samples, policy, attempts, frozenset(ignore)
        self.plateau, self.patience, self.mode = plateau, patience, mode
        self.limits = Limits()
        self.history: list[Check] = []
        self.active: dict[str, Finding] = {}
        self._facts = Facts()
        self._bench: Bench | None = None
        self._scores: list[tuple[int, float]] = []
        self._latents: dict[str, Tensor] = {}  # of a resumed run
        self._seen: dict[str, Tensor] = {}  # the samples of the last check
        self._turns: Values = {}  # measured since
        self._before: dict[str, list[Tensor]] = {}  # weights of players that are about to be updated
        self._wanted: dict[str, tuple[int, int]] = {}  # phase -> step and repeat of the turn that is measured
        self._cause: dict[str, Any] = {}

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse to wait for a score that is never computed."""
        there = [evaluator.part.name for evaluator in experiment.recipe.evaluators]
        if self.plateau is not None and re.split(r"[.\[]", self.plateau)[0] not in there:
            why = (
                f"it waits for a plateau of {self.plateau!r}, and the recipe's evaluators are: "
                f"{', '.join(there) or 'none'}"
            )
            raise Refusal(why, "add it to evaluators")

    # --- the run ------------------------------------------------------------------------------------------------

    @hookimpl
    def run_start(self, run: Run) -> None:
        if not run.is_main:
            return
        self._facts = self._known(run)
        self._bench = self._tried(lambda: Bench(run, self.samples, self._latents))
        if self._bench is not None:
            self._begin(run)

    @hookimpl
    def rolled_back(self, run: Run) -> None:
        """The history is that of the checkpoint now.

        The line that is written keeps what was found on the way that was left.
        """
        if self._bench is None:
            return
        self._begin(run)
        self._write(run, {"rolled_back": run.rollbacks[-1]["reason"], "from": run.rollbacks[-1]["from"], **self._cause})
        self._cause = {}

    @hookimpl
    def gradients(self, turn: Turn) -> None:
        if self._wanted.get(turn.phase.name) == (turn.step, turn.repeat):
            found = self._tried(lambda: of_gradients(turn))
            if found is not None:
                self._turns |= found[0]
                self._before[turn.phase.name] = found[1]

    @hookimpl
    def updated(self, turn: Turn) -> None:
        if turn.phase.name in self._before:
            before = self._before.pop(turn.phase.name)
            self._turns |= self._tried(lambda: of_update(turn, before)) or {}

    @hookimpl
    def evaluate(self, run: Run, scores: dict[str, float]) -> None:
        """Called in the main process alone."""
        wanted = self.plateau
        name = next((n for n in scores if wanted and (n == wanted or n.startswith((f"{wanted}.", f"{wanted}[")))), None)
        if name is not None:
            self._scores.append((run.step, float(scores[name])))

    @hookimpl
    def step_end(self, run: Run) -> None:
        if self._bench is None or not self._due(run.step):
            return
        bench = self._bench
        measured = self._tried(lambda: bench.check(self._seen))
        if measured is None:
            return
        values, self._seen = measured
        values |= self._turns
        self._turns = {}
        # the only time that a check waits for the device
        numbers = torch.stack([value.float() for value in values.values()]).tolist()
        self.history.append(Check(run.step, dict(zip(values, numbers))))
        if len(self.history) > FIRST + LAST:
            del self.history[FIRST]
        self._plan(run)
        self._report(run)

    @hookimpl
    def finding(self, run: Run, finding: Finding) -> None:
        """The weights are not finite, says the run itself, which ends if nobody goes back."""
        if finding.name == LOST and self.policy == "rollback" and run.going_back_to is None:
            self._cause = {"finding": finding.name, **described(finding)}
            if run.attempt < self.attempts:
                run.roll_back(f"health: {finding.name}", before=finding.good)

    def _tried(self, measure: Callable[[], Found]) -> Found | None:
        """What was measured, or None if it failed: a third-party part that fails here must not end the run."""
        try:
            return measure()
        except Exception as error:
            self._bench, self._wanted = None, {}
            print(
                f"health: measuring failed, so this run is not checked any more ({type(error).__name__}: {error})",
                flush=True,
            )
            return None

    # --- when to check -------------------------------------------------------------------------------------------

    def _known(self, run: Run) -> Facts:
        clock = run.experiment.clock
        every = (
            max(STEPS, math.ceil(SAMPLES * self.samples / clock.batch))
            if self.every is None
            else self.every.whole_steps(clock)
        )
        learners = frozenset(player for game in run.experiment.games for player in game.against)
        return Facts(every=every, learners=learners, mode=self.mode, patience=self.patience)

    def _due(self, step: int) -> bool:
        """On the stride, and twice before: what a run begins with is what it is compared with."""
        return step % self._facts.every == 0 or step == 1 or 10 * step == self._facts.every

    def _plan(self, run: Run) -> None:
        """Choose the turns to measure: of each phase the last one before the next check.

        Regularisation phases play no game.
        """
        following = next(step for step in range(run.step + 1, run.step + self._facts.every + 1) if self._due(step))
        self._wanted = {}
        for phase in run.experiment.phases:
            due = [step for step in range(run.step, following) if phase.due(step)] if not phase.lazy else []
            if due:
                self._wanted[phase.name] = (due[-1], phase.repeats - 1)

    def _begin(self, run: Run) -> None:
        self._before = {}
        self._plan(run)
        run.notices |= {name: notice(finding) for name, finding in self.active.items()}

    # --- what to report --------------------------------------------------------------------------------------------

    def _report(self, run: Run) -> None:
        """State what is new, and what went away; do what the policy says of what is new."""
        found = {finding.name: finding for finding in findings(self.history, self._facts, self.limits)}
        finished = plateau(self._scores, self._facts)
        if finished is not None:
            found["plateau"] = finished
        new = [finding for name, finding in found.items() if name not in self.active and name not in self.ignore]
        for name in [name for name in self.active if name not in found]:
            del self.active[name]
            run.notices.pop(name, None)
            self._write(run, {"gone": name})
        for finding in new:
            self.active[finding.name] = finding
            run.notices[finding.name] = notice(finding)
            self._state(run, finding)
        for finding in new:
            self._act(run, finding)

    def _state(self, run: Run, finding: Finding) -> None:
        remedies = run.remedies_for(finding.name)
        more = f" and {len(remedies) - SHOWN} more" if len(remedies) > SHOWN else ""
        tricks = [", ".join(remedies[:SHOWN]) + more] if remedies else []
        print(f"health: {finding.name} since step {finding.since}: {finding.evidence}", flush=True)
        print(f"  try: {'; '.join([*tricks, ADVICE[finding.name]])}", flush=True)
        self._write(run, {"finding": finding.name, **described(finding), "remedies": remedies})
        run.report(replace(finding, remedies=tuple(remedies)))

    def _act(self, run: Run, finding: Finding) -> None:
        reason = f"health: {finding.name}"
        if self.policy == "stop":
            run.stop(reason)
        elif self.policy == "rollback" and finding.name not in NOTED:
            self._cause = {"finding": finding.name, **described(finding)}
            if run.attempt >= self.attempts:
                run.stop(f"{reason}, after {run.attempt} rollback{'s' if run.attempt > 1 else ''}")
            elif not run.roll_back(reason, before=finding.good):
                run.stop(f"{reason}, and there is no checkpoint from before it")

    def _write(self, run: Run, line: dict[str, Any]) -> None:
        run.append(FILE, {"time": round(time.time(), 2), "attempt": run.attempt, **line})

    # --- state --------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The history as a table, NaN where a check lacks a quantity, and whatever else decides what is found later."""
        names = list(dict.fromkeys(name for check in self.history for name in check.values))
        rows = [[check.values.get(name, math.nan) for name in names] for check in self.history]
        lacking = [[name not in check.values for name in names] for check in self.history]
        return {
            "names": names,
            "steps": [check.step for check in self.history],
            "table": torch.tensor(rows, dtype=torch.float64),
            "lacking": torch.tensor(lacking, dtype=torch.bool),
            "active": {name: {"good": f.good, **described(f)} for name, f in self.active.items()},
            "scores": [list(score) for score in self._scores],
            "latents": dict(self._latents if self._bench is None else self._bench.latents),
            "seen": dict(self._seen),
            "turns": dict(self._turns),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = [
            Check(step, {name: float(value) for name, value, no in zip(state["names"], row, lacks) if not no})
            for step, row, lacks in zip(state["steps"], state["table"], state["lacking"])
        ]
        self.active = {
            name: Finding(name, kept["evidence"], dict(kept["numbers"]), kept["since"], kept["good"])
            for name, kept in state["active"].items()
        }
        self._scores = [(int(step), float(value)) for step, value in state["scores"]]
        self._latents = dict(state.get("latents", {}))  # older checkpoints have none
        self._seen, self._turns = dict(state["seen"]), dict(state["turns"])


def described(finding: Finding) -> dict[str, Any]:
    """A finding as plain data."""
    return {"since": finding.since, "evidence": finding.evidence, "numbers": dict(finding.numbers)}


def notice(finding: Finding) -> str:
    """A finding in a line."""
    return f"since step {finding.since}: {finding.evidence}"


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "health", Health)
