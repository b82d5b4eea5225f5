"""When a turn happens, in steps: what counts images counts those of the run's clock, however many turns a step has."""

from __future__ import annotations

from collections.abc import Sequence

from ganrun.plugin import Duration, Experiment, Phase, Turn


def counted(phases: Sequence[Phase], players: set[str]) -> list[Phase]:
    """The phases of some players that are no regularisation, in the order of the schedule."""
    return [phase for phase in phases if phase.player in players and not phase.lazy]


def moment(turn: Turn, phases: Sequence[Phase]) -> float:
    """The end of a turn, in steps since the run began: the turns of a step's ``phases``, its own among them, divide it.

    The second of five turns in step 7 ends at 7.4, the only one of a step at its end.
    """
    due = [phase for phase in phases if phase.due(turn.step)]
    place = [phase.name for phase in due].index(turn.phase.name)
    done = sum(phase.repeats for phase in due[:place]) + turn.repeat + 1
    return turn.step + done / sum(phase.repeats for phase in due)


def warn_of_late(experiment: Experiment, trick: str, start: Duration) -> None:
    """Warn of a trick whose ``start`` lies behind the run's last step: it would do nothing."""
    total = experiment.clock.total
    if start.steps(experiment.clock) >= total:
        why = f"it starts after {start.whole_steps(experiment.clock):,} steps and the run ends after {total:,}"
        experiment.warn(f"trick {trick}", f"{why}, so it does nothing", "an earlier start, such as 10%")
