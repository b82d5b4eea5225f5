"""From a history of measurements to findings: what is wrong, since when, on what evidence.

Everything here is a pure function of numbers; :mod:`ganrun_plugins.observers._vitals` says what their names mean. A
finding is there once its condition held in the last few checks in a row, and it is held back while another one explains
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from ganrun.plugin import Finding

Name = Literal[
    "exploding",
    "overfitting-discriminator",
    "saturated-discriminator",
    "vanishing-gradient",
    "mode-collapse",
    "oscillation",
    "dead-augmentation",
    "plateau",
]
NAMES: tuple[str, ...] = get_args(Name)  # of two that explain each other and began together, the first is the cause

# What each finding may bring about: exploding weights, for example, spoil whatever else is measured.
EFFECTS: dict[str, frozenset[str]] = {
    "exploding": frozenset(NAMES) - {"exploding", "plateau"},
    "overfitting-discriminator": frozenset(
        {"saturated-discriminator", "vanishing-gradient", "mode-collapse", "oscillation"}
    ),
    "saturated-discriminator": frozenset({"vanishing-gradient", "mode-collapse", "oscillation"}),
    "vanishing-gradient": frozenset({"mode-collapse"}),
    "mode-collapse": frozenset({"saturated-discriminator", "vanishing-gradient", "oscillation"}),
}

# What can be done without a trick, for each finding.
ADVICE = {
    "exploding": "lower learning rates",
    "overfitting-discriminator": "more data, or a smaller discriminator",
    "saturated-discriminator": "a loss whose generator's side does not flatten, or a slower discriminator",
    "vanishing-gradient": "another loss or initialisation",
    "mode-collapse": "a slower generator, or more updates of the discriminator",
    "oscillation": "lower learning rates",
    "dead-augmentation": "another strength of the augmentation",
    "plateau": "training longer will hardly help",
}


@dataclass(frozen=True)
class Limits:
    """All thresholds. They were chosen on the recipes of benchmarks/doctor.py with seeds 0 to 9, and no other."""

    # An update of 2% would replace all weights within 50 steps. Recipes that work stay below 0.7% ...
    update: float = 0.02
    updates: int = 3
    # ... but for the first steps, in which weights that began small grow.
    grown: int = 200
    # A generator that has seen the data does not put its samples ten of the data's deviations away from them.
    away: float = 10.0
    # Non-finite numbers never mend.
    broken: int = 1
    # An AUC of 0.99 is one wrong decision in a hundred pairs: with less the discriminator still errs, and so teaches.
    sure: float = 0.99
    # At 2% of the pull that a loss has on undecided samples a generator takes fifty times as long.
    pull: float = 0.02
    saturated: int = 4
    # A thousandth of the gradient it began with: gradients of generators that learn vary by a factor of ten.
    gradient: float = 1e-3
    vanished: int = 4
    # Four train samples in five score above a held-out one, which 32 of each do not by chance (deviation 0.07) ...
    memory: float = 0.8
    # ... and held-out samples lie a fifth of the way down to fakes: less does not steer a generator.
    gap: float = 0.2
    overfitting: int = 4
    # 90% of the pairs of samples are closer than the nearest 25% of pairs of real ones: there is one kind of sample.
    alike: float = 0.9
    collapsed: int = 4
    # Untrained generators make samples that are alike; by then they have learnt to vary (500 steps), and been checked
    # 8 times.
    warm_steps: int = 500
    warm_checks: int = 8
    # A generator that was as varied as this once and is not any more collapsed, however early.
    varied: float = 0.6
    # A rhythm is believed if three whole periods are seen ...
    periods: int = 3
    windows: tuple[int, ...] = (24, 36, 72)  # checks
    # ... that hold 80% of the variance: of 800 series of white noise and random walks, 60 checks long, three did so by
    # chance ...
    rhythm: float = 0.8
    # ... and move the samples' mean by a quarter of the data's deviation to either side: less does no harm.
    amplitude: float = 0.25
    oscillating: int = 3
    # Augmentation that keeps 2% of the variance between samples leaves a discriminator nothing to tell them by.
    kept: float = 0.02
    # A thousandth of the data's deviation is less than a level of grey.
    moved: float = 1e-3
    dead: int = 3


@dataclass(frozen=True)
class Check:
    """What was measured after a step: ``quantity:subject`` -> value."""

    step: int
    values: Mapping[str, float]

    def of(self, quantity: str) -> Mapping[str, float]:
        """Subject -> value of one quantity."""
        return self._grouped.get(quantity, {})

    @cached_property
    def _grouped(self) -> dict[str, dict[str, float]]:
        grouped: dict[str, dict[str, float]] = {}
        for name, value in self.values.items():
            quantity, _, subject = name.partition(":")
            grouped.setdefault(quantity, {})[subject] = value
        return grouped


@dataclass(frozen=True)
class Facts:
    """What is known of a run beforehand.

    every: steps between two regular checks. learners: players that a game is played against. goal: what a score is to
    become, and for how many evaluations it may fail to.
    """

    every: int = 1
    learners: frozenset[str] = frozenset()
    mode: Literal["min", "max"] = "min"
    patience: int = 5


@dataclass(frozen=True)
class Evidence:
    """A sentence for people, and its numbers for programs."""

    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)


Condition = Callable[[Sequence[Check], Facts, Limits], Evidence | None]


def findings(history: Sequence[Check], facts: Facts, limits: Limits) -> list[Finding]:
    """What holds now, effects of other findings left out. The order is that of NAMES."""
    found: dict[str, Finding] = {}
    for name, condition, needed in conditions(limits):
        finding = lasting(name, condition, needed, history, facts, limits)
        if finding is not None and (name not in found or finding.since < found[name].since):
            found[name] = finding
    return [f for f in found.values() if not any(explains(other, f) for other in found.values())]


def conditions(limits: Limits) -> list[tuple[str, Condition, int]]:
    """Name, condition, and in how many checks in a row it has to hold."""
    return [
        ("exploding", broken, limits.broken),
        ("exploding", too_fast, limits.updates),
        ("exploding", far_away, limits.updates),
        ("overfitting-discriminator", memorised, limits.overfitting),
        ("saturated-discriminator", saturated, limits.saturated),
        ("vanishing-gradient", vanished, limits.vanished),
        ("mode-collapse", collapsed, limits.collapsed),
        ("oscillation", oscillating, limits.oscillating),
        ("dead-augmentation", dead, limits.dead),
    ]


def lasting(
    name: str, condition: Condition, needed: int, history: Sequence[Check], facts: Facts, limits: Limits
) -> Finding | None:
    """The finding, if its condition holds in the last ``needed`` checks; the evidence is that of the last."""
    evidence = condition(history, facts, limits) if len(history) >= needed else None
    if evidence is None:
        return None
    first = len(history) - 1
    while first > 0 and condition(history[:first], facts, limits) is not None:
        first -= 1
    if len(history) - first < needed:
        return None
    good = history[first - 1].step if first else 0
    return Finding(name, evidence.sentence, evidence.numbers, history[first].step, good)


def explains(cause: Finding, effect: Finding) -> bool:
    """Whether one finding is explained by another; of two that may each explain the other, the earlier is the cause."""
    if effect.name not in EFFECTS.get(cause.name, ()):
        return False
    if cause.name not in EFFECTS.get(effect.name, ()):
        return True
    return (cause.since, NAMES.index(cause.name)) < (effect.since, NAMES.index(effect.name))


# --- conditions: each reads the last check, and earlier ones where it has to -----------------------------


def broken(history: Sequence[Check], facts: Facts, limits: Limits) -> Evidence | None:
    """Something is not finite: a term, a gradient, a weight, a sample."""
    check = history[-1]
    parts = {"broken": "terms of the phase", "gradient": "gradient of", "update": "update of", "weights": "weights of"}
    for quantity, what in parts.items():
        for subject, value in check.of(quantity).items():
            if (quantity == "broken" and value > 0) or not math.isfinite(value):
                words = (
                    "samples" if quantity == "broken" and "spread:" + subject in check.values else f"{what} {subject}"
                )
                return Evidence(f"not all {words} are finite numbers", {f"{quantity}:{subject}": value})
    return None


def too_fast(history: Sequence[Check], facts: Facts, limits: Limits) -> Evidence | None:
    """A player's weights change by too much in a step. The first steps, from small weights, do not count."""
    check = history[-1]
    player, size = largest(check.of("update"))
    if check.step < limits.grown or size < limits.update:
        return None
    return Evidence(f"one step changes the weights of {player} by {100 * size:.1f}% of their size", {"update": size})


def far_away(history: Sequence[Check], facts: Facts, limits: Limits) -> Evidence | None:
    """The samples left the data: their mean, or their spread."""
    check = history[-1]
    places = {name: abs(value) for name, value in check.values.items() if name.startswith("path")} | dict(
        check.of("spread")
    )
    _, size = largest(places)
    if check.step < limits.grown or size < limits.away:
        return None
    return Evidence(f"samples lie {size:.0f} of the data's deviations away from the data", {"away": size})


def memorised(history: Sequence[Check], facts: Facts, limits: Limits) -> Evidence | None:
    """Samples that the discriminator was trained on score higher than others like them."""
    check = history[-1]
    memory, gaps = check.of("memory"), check.of("gap")
    for game, share in memory.items():
        if share >= limits.memory and gaps[game] >= limits.gap:
            which = f" in game {game}" if len(memory) > 1 else ""
            sentence = (
                f"the discriminator scores training samples above held-out ones in {100 * share:.0f}% of "
                f"pairs{which}, and held-out "
            )
            share_of_way = f"samples lie {100 * gaps[game]:.0f}% of the way down to fakes"
            return Evidence(sentence + share_of_way, {"memory": share, "gap": gaps[game]})
    return None


def saturated(history: Sequence[Check], facts: Facts, limits: Limits) -> Evidence | None:
    """The discriminator is always right, and the loss then gives the generator next to nothing."""
    check = history[-1]
    pulls, sure = check.of("pull"), check.of("auc")
    for game, pull in pulls.items():
        if sure.get(game, 0.0) >= limits.sure and pull <= limits.pull:
            sentence = f"the discriminator tells {100 * sure[game]:.1f}% of pairs of a real sample and a fake apart, "
            sentence += f"and the slope of the loss at the fakes is down to {pull:.2g}"
            return Evidence(sentence, {"auc": sure[game], "pull": pull})
    return None


def vanished(history: Sequence[Check], facts: Facts, limits: Limits) -> Evidence | None:
    """The gradient of a player that learns from a discriminator is a tiny part of what it was in the first checks."""
    for player, norm in history[-1].of("gradient").items():
        first = [v for v in (check.of("gradient").get(player, math.nan) for check in history[:5]) if math.isfinite(v)]
        if player in facts.learners and len(history) > 5 and first and norm <= limits.gradient * max(first):
            return Evidence(
                f"the gradient of {player} is {norm:.2g}, and it was {max(first):.2g}",
                {"gradient": norm, "first": max(first)},
            )
    return None


def collapsed(history: Sequence[Check], facts: Facts, limits: Limits) -> Evidence | None:
    """Nearly all samples are alike, and they have not always been, or have been for long enough."""
    check = history[-1]
    for output, share in check.of("close25").items():
        if share < limits.alike:
            continue
        once = any(earlier.of("close25").get(output, 1.0) <= limits.varied for earlier in history)
        if once or (check.step >= limits.warm_steps and len(history) >= limits.warm_checks):
            sentence = (
                f"{100 * share:.0f}% of pairs of samples are closer to each other than the nearest 25% of "
                "pairs of real samples"
            )
            return Evidence(sentence, {"close": share, "spread": check.of("spread").get(output, math.nan)})
    return None


def oscillating(history: Sequence[Check], facts: Facts, limits: Limits) -> Evidence | None:
    """The mean of the samples goes to and fro along an axis of the data, in a rhythm."""
    regular = [check for check in history if check.step % facts.every == 0]
    names = [name for name in history[-1].values if name.startswith("path")]
    for window in limits.windows:
        if len(regular) < window or regular[-1].step != history[-1].step:
            continue
        for name in names:
            series = [check.values.get(name, math.nan) for check in regular[-window:]]
            found = rhythm(series, limits.periods)
            if found is not None and found.share >= limits.rhythm and found.amplitude >= limits.amplitude:
                period = found.period * facts.every
                sentence = (
                    f"the samples' mean goes {found.amplitude:.2f} of the data's deviation to either side, "
                    f"every {period:.0f} steps"
                )
                return Evidence(sentence, {"period": period, "amplitude": found.amplitude, "share": found.share})
    return None


def dead(history: Sequence[Check], facts: Facts, limits: Limits) -> Evidence | None:
    """Augmentation that destroys the samples, or that does nothing although the discriminator overfits."""
    check = history[-1]
    for share in check.of("kept").values():
        if share <= limits.kept:
            return Evidence(
                f"augmentation keeps {100 * max(share, 0.0):.1f}% of what differs between real samples", {"kept": share}
            )
    for moved in check.of("augmented").values():
        if moved <= limits.moved and memorised(history, facts, limits) is not None:
            return Evidence(
                "augmentation leaves real samples as they are, although the discriminator overfits",
                {"augmented": moved},
            )
    return None


def plateau(scores: Sequence[tuple[int, float]], facts: Facts) -> Finding | None:
    """The best of the last ``patience`` scores is no better than the best before them, by more than the scores' noise.

    scores: (step, value), oldest first. Their noise is the deviation that the last ones' median change, up or down,
    stands for.
    """
    sign = 1.0 if facts.mode == "max" else -1.0
    known = [(step, sign * value) for step, value in scores if math.isfinite(value)]
    if len(known) <= facts.patience:
        return None
    before, last = known[: -facts.patience], known[-facts.patience :]
    values = [value for _, value in known[-facts.patience - 1 :]]
    noise = float(np.median(np.abs(np.diff(values)))) / (0.6745 * math.sqrt(2))
    best, best_before = max(value for _, value in last), max(value for _, value in before)
    if best > best_before + noise:
        return None
    better = "lower" if facts.mode == "min" else "higher"
    sentence = f"the score was {sign * best_before:.4g} at best, and the last {facts.patience} are not {better} "
    sentence += f"by more than their noise of {noise:.2g}"
    numbers = {"best": sign * best_before, "best_of_last": sign * best, "noise": noise}
    return Finding("plateau", sentence, numbers, last[0][0], before[-1][0])


# --- arithmetic -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rhythm:
    """period: in checks. share: of the variance. amplitude: of a sine with the rhythm's variance."""

    period: float
    share: float
    amplitude: float


def rhythm(series: Sequence[float], periods: int) -> Rhythm | None:
    """The strongest rhythm of a series, a straight line taken off; None if it has fewer than ``periods`` periods.

    A frequency between two of the transform's shows in both, so that the neighbours of the strongest one are counted
    with it.
    """
    x = np.asarray(series, dtype=np.float64)
    if not np.isfinite(x).all():
        return None
    time = np.arange(len(x)) - (len(x) - 1) / 2
    x = x - x.mean() - time * (time @ x) / (time @ time)
    power = np.abs(np.fft.rfft(x)) ** 2  # (len / 2 + 1,)
    power[0] = 0.0
    if len(x) % 2 == 0:
        power[-1] /= 2  # the others stand for two frequencies each, this one for one
    top = int(power.argmax())
    total = float(power.sum())
    if top < periods or total <= 0:
        return None
    near = slice(top - 1, top + 2)
    bins = np.arange(len(power))
    centre = float((bins[near] * power[near]).sum() / power[near].sum())
    share = float(power[near].sum()) / total
    return Rhythm(len(x) / centre, share, math.sqrt(2 * share * float(x.var())))


def largest(values: Mapping[str, float]) -> tuple[str, float]:
    """The largest number and its name; numbers that are not finite do not count."""
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    return max(finite.items(), key=lambda item: item[1]) if finite else ("", 0.0)
