"""Going back: a run that went wrong returns to an older checkpoint and goes another way from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganrun.distributed import Agreement
from ganrun.training import checkpoint
from ganrun.training.folder import declared_files, forget_after, forget_files

if TYPE_CHECKING:
    from ganrun.training.run import Run


@dataclass(frozen=True)
class Wish:
    """A rollback that was asked for: to the checkpoint of step ``to``, and why."""

    to: int
    reason: str


class Rollback:
    """Keeps what was asked until all processes know of it, and does it between two steps.

    Going back restores everything that a checkpoint holds. The number of the attempt, which is part of every random
    key, becomes one that was never used, so that the failure is not replayed, and the checkpoint is written anew with
    it: a run that is killed and resumed goes the new way, too.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.wish: Wish | None = None
        self._agreement = Agreement(run.processes)

    def ask(self, reason: str, before: int | None) -> bool:
        """Wish for the newest intact checkpoint up to a step (default: any earlier one).

        Of two wishes the one further back counts.
        """
        if self.run.folder is None:
            return False
        up_to = self.run.step - 1 if before is None else before
        found = checkpoint.newest_verified(self.run.folder / "checkpoints", up_to)
        if found is None:
            return False
        if self.wish is None or found < self.wish.to:
            self.wish = Wish(found, reason)
        return True

    def after_step(self, *, at_once: bool) -> None:
        """Go back if any process wishes to.

        ``at_once``: this is the last chance; else it may take a second until all know.
        """
        if not self._agreement.any(self.run.step, self.wish is not None, at_once=at_once):
            return
        run = self.run
        assert run.folder is not None, "nobody is granted a wish in a run without a folder"
        wish = min((wish for wish in run.processes.gather(self.wish) if wish is not None), key=lambda wish: wish.to)
        self.wish = None
        place = run.folder / "checkpoints"
        found = run.processes.broadcast(checkpoint.newest_verified(place, wish.to) if run.is_main else None)
        if found is None:
            run.stop(f"{wish.reason}; the checkpoint of step {wish.to} was lost before the run could go back to it")
            return
        _, state = checkpoint.read(dict(checkpoint.listing(place))[found])
        if run.is_main:
            forget_after(run.folder, found)
            forget_files(run.folder, found, declared_files(run.recipe.observers, run.experiment.observers))
        self._restore(state, wish.reason)
        run.experiment.hooks.rolled_back(run=run)
        run.save()

    def _restore(self, state: dict[str, Any], reason: str) -> None:
        run = self.run
        entry = {"from": run.step, "to": state["step"], "attempt": run.attempt + 1, "reason": reason}
        rollbacks = [*run.rollbacks, entry]  # those that the checkpoint knows are the first of them
        run.load_state_dict(state)
        run.rollbacks = rollbacks
        run.engine.attempt = entry["attempt"]
        for optimizer in run.engine.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        run.engine.fakes.forget()
        run.evaluation.forget_fakes()
        run.notices.clear()
