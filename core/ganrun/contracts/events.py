"""The events of a run, and the one hook by which a plugin module lists its components.

A plugin module marks functions and methods with :data:`hookimpl`. ``ganrun_components`` is called on modules,
when the catalogue loads them; every other event is called on the component objects of one run (its variant,
loss, sampler, tricks and observers), in the order in which the recipe names them.

Payloads are mutable: an event changes what it is given and returns nothing. This file imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganrun.words.hooks import hookspec

if TYPE_CHECKING:
    from ganrun.engine.step import Step
    from ganrun.engine.turn import Turn
    from ganrun.experiment.experiment import Experiment, Plan
    from ganrun.sampling.sampling import Sampling
    from ganrun.training.run import Run
    from ganrun.words.finding import Finding
    from ganrun.words.game import Call, DiscriminatorOutput, Round


class Events:
    """The events of a run, in the order in which they happen."""

    # --- before training -----------------------------------------------------------------------------------

    @hookspec
    def plan(self, plan: Plan) -> None:
        """Change what shapes the networks, before any exists: packing, extra channels, extra heads."""

    @hookspec
    def build(self, experiment: Experiment) -> None:
        """Change the built modules, players, games and phases. The refusals are collected after this."""

    # --- one turn: a player's forward, its terms, its update ------------------------------------------------

    @hookspec
    def optimizer_options(self, player: str, step: int, options: dict[str, Any]) -> None:
        """Change what a player's optimiser is given in a step, such as its ``lr``; asked for past steps, too."""

    @hookspec
    def phase_start(self, turn: Turn) -> None:
        """Set ``turn.skip``, ``turn.copies`` (samples per item) or add to ``turn.wanted``."""

    @hookspec
    def sample(self, turn: Turn) -> None:
        """Change ``turn.latents``: what the variant drew (z, codes, labels)."""

    @hookspec
    def generated(self, turn: Turn) -> None:
        """Change the streams of ``turn.rounds`` before a discriminator sees them, and ``turn.overrides``."""

    @hookspec
    def augment(self, turn: Turn, call: Call) -> None:
        """Transform ``call.x`` (and ``call.given``) differentiably, as augmentation."""

    @hookspec
    def corrupt(self, turn: Turn, call: Call) -> None:
        """Add noise to ``call.x``. Comes after ``augment``, so that no resampling colours the noise."""

    @hookspec
    def pack(self, turn: Turn, call: Call) -> None:
        """Join several samples of ``call.x`` into one. Comes last, so that other tricks see single samples."""

    @hookspec
    def discriminator_output(self, turn: Turn, call: Call, output: DiscriminatorOutput) -> None:
        """Read or change the output of one discriminator call, and its weight per sample."""

    @hookspec
    def targets(self, turn: Turn, round: Round) -> None:
        """Change the targets of a round's streams. Discriminator side only, and only if the loss has targets."""

    @hookspec
    def losses(self, turn: Turn) -> None:
        """Add, scale, replace or drop entries of ``turn.terms``."""

    @hookspec
    def gradients(self, turn: Turn) -> None:
        """Change the player's gradients: averaged over processes and micro-batches, and unscaled."""

    @hookspec
    def updated(self, turn: Turn) -> None:
        """Called after the player's optimiser step."""

    @hookspec
    def step_taken(self, step: Step) -> None:
        """Change parameters and buffers after the last turn of a step, before anything of it is scored or saved."""

    # --- outside training ----------------------------------------------------------------------------------

    @hookspec
    def sampling(self, sampling: Sampling) -> None:
        """Choose the weights (``sampling.modules``) and modes used to sample outside training."""

    # --- the whole run: for observers -----------------------------------------------------------------------

    @hookspec
    def run_start(self, run: Run) -> None:
        """Called once before the first step of this process, after a resume has been restored."""

    @hookspec
    def step_end(self, run: Run) -> None:
        """Called after each step. ``run.step`` counts the steps done.

        A checkpoint of this step is written after it, whichever observer asked for it.
        """

    @hookspec
    def checkpoint(self, run: Run, path: Any) -> None:
        """Called after a checkpoint was written to the folder ``path``."""

    @hookspec
    def evaluate(self, run: Run, scores: dict[str, float]) -> None:
        """Called after evaluators ran. ``scores`` maps ``evaluator.metric`` to a value."""

    @hookspec
    def finding(self, run: Run, finding: Finding) -> None:
        """Called in the main process when an observer reported a finding with ``run.report``."""

    @hookspec
    def rolled_back(self, run: Run) -> None:
        """Called after the run went back to a checkpoint: ``run.step`` is that one's, ``run.rollbacks[-1]`` says why.

        Observers drop what they know and wrote of later steps. A checkpoint of the new attempt is written after this.
        """

    @hookspec
    def run_end(self, run: Run, reason: str) -> None:
        """Called once at the end, to write what is left. ``reason`` is ``finished``, ``interrupted`` or ``failed``.

        A checkpoint that is asked for now is written after it.
        """

    @hookspec
    def run_closed(self, run: Run, reason: str) -> None:
        """Called last of all, after the last checkpoint was written: to report. ``reason`` is that of ``run_end``.

        It is ``failed``, too, if an observer failed in ``run_end``.
        """
