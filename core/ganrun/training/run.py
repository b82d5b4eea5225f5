"""A run: it builds the parts of a recipe, owns the run's folder, and loops over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun import files, jsonl
from ganrun.catalog.catalog import Catalog
from ganrun.contracts.protocols import Dataset
from ganrun.data.download import data_cache
from ganrun.data.splits import datasets
from ganrun.distributed import Agreement, Processes, is_of_connections
from ganrun.engine.engine import Engine
from ganrun.engine.turn import Turn
from ganrun.errors import WrongResult
from ganrun.evaluation.evaluation import Evaluation
from ganrun.evaluation.least import refuse_too_few
from ganrun.evaluation.sources import Generated
from ganrun.experiment.experiment import Experiment
from ganrun.experiment.torch_settings import torch_settings
from ganrun.progress import OPENING, message_if_slow
from ganrun.randomness import Draws
from ganrun.recipe import Recipe
from ganrun.recipe.places import settings_placed
from ganrun.sampling.sampling import SampleMaker
from ganrun.training import checkpoint, commands
from ganrun.training.build import build
from ganrun.training.checkpoints import Checkpoints
from ganrun.training.finite import Finite
from ganrun.training.remedies import remedies_for
from ganrun.training.restore import check_optimizer_state, load_modules
from ganrun.training.rollback import Rollback
from ganrun.training.saving import Saving
from ganrun.training.scoring import due, evaluate
from ganrun.training.shares import kept_once, states_here
from ganrun.training.signals import signals
from ganrun.words.finding import Finding
from ganrun.words.game import Phase


class Run:
    """One training run, the payload of the run-level events.

    ``data`` stands in for the train split of a run that is not trained; ``watch`` are components that listen, too, and
    are no part of the recipe.

    recipe, catalog, folder: what is run, and where it is kept.
    step, steps: done so far, and in all.
    experiment, engine, sample_maker, evaluation: the built parts.
    checkpoints: those in the folder.
    scores: the latest of each evaluator.
    attempt: part of every random key.
    rollbacks: each one's ``from`` and ``to`` (steps), ``attempt`` and ``reason``, oldest first.
    newest_picture: what an observer drew last, for others to show.
    notices: name -> a line that is shown beside the losses for as long as it is here.
    finite, resume_command: whether the weights are finite numbers; the command that continues the run.
    """

    def __init__(
        self,
        recipe: Recipe,
        catalog: Catalog,
        folder: Path | None = None,
        *,
        data: Dataset | None = None,
        watch: Sequence[Any] = (),
    ) -> None:
        with torch_settings(recipe.train), message_if_slow(OPENING):
            self._build(recipe, catalog, folder, data, watch)

    def _build(
        self, recipe: Recipe, catalog: Catalog, folder: Path | None, data: Dataset | None, watch: Sequence[Any]
    ) -> None:
        self.recipe = recipe
        self.catalog = catalog
        self.folder = folder
        with settings_placed(recipe):
            self.processes = Processes(recipe.train.device, recipe.train.precision)
        self.dataset = datasets(recipe)
        self.experiment: Experiment = build(
            recipe, self.dataset("train") if data is None else data, self.processes, data=self.dataset, watch=watch
        )
        refuse_too_few(self.experiment, self.dataset)
        self.evaluators = list(zip(recipe.evaluators, self.experiment.evaluators))
        self.engine = Engine(self.experiment)
        self.sample_maker = SampleMaker(self.engine)
        self.evaluation = Evaluation(
            Generated(self.sample_maker, self.dataset, recipe.train.seed),
            self.dataset,
            data_cache(),
            seed=recipe.train.seed,
            folder=folder,
            base=recipe.base,
            processes=self.processes,
        )
        self.checkpoints = Checkpoints(None if folder is None else folder / "checkpoints")
        self.step = 0
        self.steps = self.experiment.clock.total
        self.scores: dict[str, float] = {}
        self.resumed_from: int | None = None
        self.newest_picture: Path | None = None
        self.notices: dict[str, str] = {}
        self.rollbacks: list[dict[str, Any]] = []
        self._stop = ""
        self._saving = Saving(self.save)
        self._agreement = Agreement(self.processes)
        self._rollback = Rollback(self)
        self.finite = Finite(self)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.processes.is_main

    @property
    def attempt(self) -> int:
        """How often this run was rolled back."""
        return self.engine.attempt

    @property
    def going_back_to(self) -> int | None:
        """The step whose checkpoint a requested rollback needs, so that it has to stay. None: none is requested."""
        return self._rollback.request.to if self._rollback.request is not None else None

    resume_command = property(commands.resume_command)

    @property
    def is_evaluated(self) -> bool:
        """Whether evaluators run after this step."""
        return bool(due(self))

    def metrics(self) -> dict[str, float]:
        """``phase/term`` -> value in the latest turn of each phase. Waits for the device: call it on a stride."""
        return {
            f"{phase}/{name}": float(value)
            for phase, terms in self.engine.terms.items()
            for name, value in terms.items()
        }

    def place(self, name: str) -> Path:
        """The path of a file to write in the run's folder. Folders on the way are made, and none of them is a link."""
        assert self.folder is not None, "a run without a folder has no files"
        return files.below(self.folder, name)

    def append(self, file: str, line: Mapping[str, Any]) -> None:
        """Add a line to a file of JSON lines in the run's folder, with the step, in the main process alone.

        The observer declares the file in ``files``; its lines of steps that are taken again are removed by the core.
        """
        if self.is_main and self.folder is not None:
            jsonl.append(self.folder / file, {"step": self.step, **line})

    def remedies_for(self, problem: str) -> list[str]:
        """Names of installed tricks that fit this run's recipe and help against a problem, the least doubtful first.

        See :mod:`ganrun.training.remedies` for the names of problems.
        """
        return remedies_for(self, problem)

    def report(self, finding: Finding) -> None:
        """Report what was found wrong to all observers, by the event ``finding``. In the main process alone."""
        self.experiment.hooks.finding(run=self, finding=finding)

    def rates(self) -> dict[str, float]:
        """``rate/player`` -> the learning rate of the step just done, as lazy phases have it."""
        return {f"rate/{player}": self.engine.options(player, self.step - 1)["lr"] for player in self.engine.optimizers}

    def untaken(self, real: Mapping[str, Tensor], key: tuple[Any, ...], *, player: str, phase: str = "untaken") -> Turn:
        """A turn of the step just done that is never taken, of given items: for measurements of training itself.

        Every role is wanted, nothing is drawn or made yet, and its draws are those of ``key``. A phase of that name is
        not in the schedule. Call it under ``torch.no_grad()`` and ``torch.random.fork_rng()``.
        """
        turn = Turn(
            self.engine,
            Phase(phase, player),
            step=max(self.step - 1, 0),
            draws=Draws(key, device=self.engine.device),
            modules=self.engine.modules,
            batch_size=len(next(iter(real.values()))),
            real=dict(real),
        )
        turn.wanted = {"real", "fake"}
        return turn

    def stop(self, reason: str) -> None:
        """End the run after this step."""
        self._stop = self._stop or reason

    def roll_back(self, reason: str, *, before: int | None = None) -> bool:
        """Go back, after this step, to the newest intact checkpoint.

        It is of a step up to ``before`` (default: any earlier one).

        The next steps draw other numbers and read the data in another order, as a new attempt. What was written of
        later steps is removed, and the event ``rolled_back`` follows. All processes call it alike, or the main one
        alone; several processes may take a few more steps until all know.

        Returns:
            False if there is no such checkpoint. Nothing happens then, and the caller decides, such as to stop.
        """
        return self._rollback.ask(reason, before)

    # --- the loop -------------------------------------------------------------------------------------------

    def train(self) -> str:
        """Train to the end, or until asked to stop.

        Returns ``finished`` or ``interrupted`` (or a reason given to stop).
        """
        hooks = self.experiment.hooks
        reason = "failed"
        with self.experiment.settings(), signals(self.stop, verbose=self.is_main):
            if self.folder is not None:
                self._states()  # what cannot be saved is reported now, not at the first checkpoint
            try:
                with self._saving.informing():
                    hooks.run_start(run=self)
                while self.step < self.steps and not self._agreed_to_stop():
                    self.engine.step(self.step)
                    self.step += 1
                    if not self.finite.lost(at_once=self.is_evaluated or self.step == self.steps):
                        self._evaluate()
                        with self._saving.informing():
                            hooks.step_end(run=self)
                    self._rollback.after_step(at_once=self.step >= self.steps)
                reason = self._stop if self.step < self.steps else "finished"
            finally:
                self._end(reason)
        return reason

    def _end(self, reason: str) -> None:
        """Let observers write their last, save, and let them report: also where one of them fails at it."""
        hooks, closed_with = self.experiment.hooks, "failed"
        try:
            with self._saving.informing(also_if_it_fails=True):
                hooks.run_end(run=self, reason=reason)
            closed_with = reason
        finally:
            hooks.run_closed(run=self, reason=closed_with)

    def _agreed_to_stop(self) -> bool:
        if self._agreement.any(self.step, bool(self._stop)):
            self._stop = self._stop or "interrupted"
            self.finite.lost(at_once=True)
            self._rollback.after_step(at_once=True)  # so that what is saved now is not the state that was to be left
            return True
        return False

    def _evaluate(self) -> None:
        if not due(self):
            return
        try:
            with self.processes.averaged_buffers(self.experiment.modules.values()):
                self.evaluation.forget_fakes()
                with self.evaluation.together() as leading:
                    if leading:
                        scores = evaluate(self)
                        self.scores.update(scores)
                        self.experiment.hooks.evaluate(run=self, scores=scores)
        except BaseException as error:
            # The step that was to be scored is whole. Who fails tells the others, so all of them are here, to save. A
            # resumed run does not come back to this step, so observers have it now.
            if self.folder is not None and not is_of_connections(error):
                with self._saving.informing():
                    self.experiment.hooks.step_end(run=self)
                    self.save()
            raise
        self.processes.wait()

    # --- state ----------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint of this step, in all processes at once.

        Called in ``run_start``, ``step_end`` or ``run_end`` it is written when all observers have had that event. None
        is written, and nothing follows, if the weights are not finite and the run is about to go back.

        Raises:
            NotFinite: if they are not, and nobody asked to go back.
        """
        assert self.folder is not None, "a run without a folder cannot be saved"
        if self._saving.put_off():
            return
        if self.finite.lost(at_once=True):
            return
        state = self.state_dict()
        path = checkpoint.write(self.folder / "checkpoints", self.step, state) if self.is_main else None
        self.processes.wait()
        self.experiment.hooks.checkpoint(run=self, path=path)

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs: a tree of tensors and plain values. Collective."""
        with self.experiment.settings():
            components = self._states()
        modules, alone = self.experiment.modules, self.processes.world == 1
        buffers = (
            {}
            if alone
            else {name: {key: b.clone() for key, b in module.named_buffers()} for name, module in modules.items()}
        )
        with self.processes.averaged_buffers(modules.values()):
            networks = {
                name: {key: tensor if alone else tensor.clone() for key, tensor in module.state_dict().items()}
                for name, module in modules.items()
            }
        return {
            "step": self.step,
            "steps": self.steps,
            "attempt": self.attempt,
            "rollbacks": [dict(entry) for entry in self.rollbacks],
            "world": self.processes.world,
            "batch": self.experiment.clock.batch,
            "threads": torch.get_num_threads(),
            "modules": networks,
            "buffers": [] if alone else kept_once(self.processes.gather(buffers)),  # before they were averaged
            "optimizers": {name: checkpoint.optimizer_state(o) for name, o in self.engine.optimizers.items()},
            "positions": self.engine.readers.positions,
            "components": kept_once(self.processes.gather(components)),
            "scores": dict(self.scores),
            "terms": self.engine.terms,
        }

    def _states(self) -> dict[str, Any]:
        """The states of the components that have one. Raises WrongResult for one that no checkpoint can keep."""
        states = {}
        for name, component in self.experiment.components().items():
            if hasattr(component, "state_dict"):
                states[name] = component.state_dict()
                if wrong := checkpoint.unsavable(states[name]):
                    kept = "a tree of dicts, lists, tensors, numbers and strings"
                    raise WrongResult(component, "state_dict", kept, wrong)
        return states

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the moment of a state. Raises CheckpointError if it is of another experiment."""
        components, own_buffers = states_here(self, state)
        load_modules(self.experiment, state["modules"])
        for name, buffers in own_buffers.items():
            for key, buffer in self.experiment.modules[name].named_buffers():
                buffer.copy_(buffers[key])
        for name, optimizer in self.engine.optimizers.items():
            check_optimizer_state(name, self.experiment, state["optimizers"][name])
            checkpoint.restore_optimizer(optimizer, state["optimizers"][name])
        with self.experiment.settings():
            for name, component in self.experiment.components().items():
                if components.get(name) is not None:
                    component.load_state_dict(components[name])
        self.engine.attempt = state["attempt"]
        self.rollbacks = [dict(entry) for entry in state.get("rollbacks", ())]  # older checkpoints have none
        self.engine.readers.positions = state["positions"]
        self.scores = dict(state["scores"])
        self.engine.terms = dict(state["terms"])
        self.step = state["step"]
