"""What checkpoints keep of several processes, and how another number of them continues from it.

Nearly all state is the same in every process, because draws are made for the whole batch and what steers training is
averaged. It is kept once. A component whose state is that of one process alone, such as running statistics of its own
batches, says by ``merge_states`` how one for all is made of them; where it does not, the number of processes stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganrun.errors import UserError
from ganrun.training.checkpoint import CheckpointError

if TYPE_CHECKING:
    from ganrun.training.changed import LastStart
    from ganrun.training.run import Run

States = Mapping[str, Any]  # component -> its state


def states_here(run: Run, state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The states of components, and the buffers of networks that are not those of all, for this process of a run.

    With another number of processes than before, each continues with the mean of the buffers that networks hold.
    """
    kept, buffers, rank = state["components"], state["buffers"], run.processes.rank
    if state["world"] == run.processes.world:
        return of_rank(kept, rank), of_rank(buffers, rank) if buffers else {}
    return merged(kept, run.experiment.components(), run.processes.world), {}


def check_batch(run: Run, state: Mapping[str, Any], started: LastStart) -> str:
    """Refuse to continue with steps of another size; print a line if they have the same size but are divided otherwise.

    state: of the checkpoint, empty if there is none.

    Raises:
        UserError: with the batch size to set.
    """
    train, old, world = run.recipe.train, started.recipe.train, run.processes.world
    batch = state.get("batch", started.clock(run.experiment.clock).batch)  # checkpoints of earlier versions have none
    processes = state.get("world", started.versions.get("processes", 1))
    if batch != run.experiment.clock.batch:
        parts = train.accumulate * world
        fits = f"--set train.batch_size={batch // parts}" if batch % parts == 0 else f"processes that divide {batch}"
        raise UserError(
            f"a step of this run takes {batch} samples, and would take {run.experiment.clock.batch} now (batch_size "
            f"{train.batch_size} x accumulate {train.accumulate} x processes {world}); {fits} leaves it as it was"
        )
    if (old.batch_size, old.accumulate, processes) == (train.batch_size, train.accumulate, world):
        return ""
    averaged = "; running statistics that each process had become their mean" if 1 < processes != world else ""
    return (
        f"{processes} process(es) with batch_size {old.batch_size} and accumulate {old.accumulate} before, "
        f"{world} with {train.batch_size} and {train.accumulate} now: the same {batch} samples a step, but sums may "
        f"round otherwise, and dropout and what looks at a whole batch differ{averaged}"
    )


def kept_once(states: Sequence[States]) -> list[dict[str, Any]]:
    """The states of each process, by rank, without those that are the first one's."""
    first = dict(states[0])
    return [first, *({name: s for name, s in other.items() if not same(s, first[name])} for other in states[1:])]


def of_rank(kept: Sequence[States], rank: int) -> dict[str, Any]:
    """The states of one process, of what :func:`kept_once` kept."""
    return {**kept[0], **kept[rank]}


def merged(kept: Sequence[States], components: Mapping[str, Any], world: int) -> dict[str, Any]:
    """The states with which each of another number of processes, ``world``, continues.

    Observers write in the main process alone, so its state is theirs.

    Raises:
        CheckpointError: naming each component whose states differ and that does not say what to make of them.
    """
    found, alone = dict(kept[0]), []
    for name in kept[0]:
        states = [of_rank(kept, rank)[name] for rank in range(len(kept))]
        if name.startswith("observers.") or all(same(state, states[0]) for state in states):
            continue
        merge = getattr(components.get(name), "merge_states", None)
        if merge is not None:
            found[name] = merge(states)
        else:
            alone.append(name)
    if alone:
        raise CheckpointError(
            f"this run was trained by {len(kept)} processes and cannot be resumed by {world}: each has a state of its "
            f"own of {' and '.join(alone)}, and there is no rule to share it out; start {len(kept)} processes"
        )
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, to the bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(_bytes(one), _bytes(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and type(one) is type(other):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()  # NaN is no number that equals itself
    return type(one) is type(other) and bool(one == other)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
