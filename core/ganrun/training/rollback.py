"""Going back: a run that went wrong returns to an older checkpoint and goes another way from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganrun.distributed import Agreement
from ganrun.training import checkpoint
from ganrun.training.folder import forget_later

if TYPE_CHECKING:
    from ganrun.training.run import Run


@dataclass(frozen=True)
class Request:
    """A rollback that was asked for: to the checkpoint of step ``to``, and why."""

    to: int
    reason: str


class Rollback:
    """Keeps what was asked until all processes know of it, and does it between two steps.

    Going back restores everything that a checkpoint holds. The number of the attempt, which is part of every random
    key, becomes one that was never used, so that the failure is not replayed, and the checkpoint is written again with
    it: a run that is killed and resumed goes the new way, too.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.request: Request | None = None
        self._agreement = Agreement(run.processes)

    def ask(self, reason: str, before: int | None) -> bool:
        """Request the newest intact checkpoint up to a step (default: any earlier one).

        Of two requests the one further back counts.
        """
        if self.run.folder is None:
            return False
        up_to = self.run.step - 1 if before is None else before
        found = checkpoint.newest_verified(self.run.folder / "checkpoints", up_to)
        if found is None:
            return False
        if self.request is None or found < self.request.to:
            self.request = Request(found, reason)
        return True

    def after_step(self, *, at_once: bool) -> None:
        """Go back if any process requests it.

        ``at_once``: this is the last chance; else it may take a second until all know.
        """
        if not self._agreement.any(self.run.step, self.request is not None, at_once=at_once):
            return
        run = self.run
        assert run.folder is not None, "a run without a folder accepts no request"
        request = min(
            (request for request in run.processes.gather(self.request) if request is not None),
            key=lambda request: request.to,
        )
        self.request = None
        place = run.folder / "checkpoints"
        found = run.processes.broadcast(checkpoint.newest_verified(place, request.to) if run.is_main else None)
        if found is None:
            run.stop(
                f"{request.reason}; the checkpoint of step {request.to} was lost before the run could go back to it"
            )
            return
        _, state = checkpoint.read(dict(checkpoint.listing(place))[found])
        if run.is_main:
            forget_later(run, found)
        self._restore(state, request.reason)
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
        run.finite.forget()
        run.notices.clear()
