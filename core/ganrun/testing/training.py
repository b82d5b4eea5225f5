"""What holds for every plugin that takes part in training: it trains, repeats itself, and resumes."""

from __future__ import annotations

from ganrun.testing.conditions import offline, when
from ganrun.testing.plugin import Plugin
from ganrun.testing.runs import assert_resumes, assert_sound, first_difference, probed, trained, weights


@when(offline)
def check_trains(plugin: Plugin) -> None:
    """Three steps give finite terms and weights, and gradients in the turn's player alone."""
    assert_sound(trained(plugin, probed(plugin.recipe), 3))


@when(offline)
def check_same_seed_same_bits(plugin: Plugin) -> None:
    """Two runs of one recipe are equal bit for bit."""
    one, other = (weights(trained(plugin, plugin.recipe, 2)) for _ in range(2))
    different = first_difference(one, other)
    assert not different, f"{different} differs between two runs of one recipe; draw with turn.draws, which is keyed"


@when(offline)
def check_resumes(plugin: Plugin) -> None:
    """A run stopped after two steps and resumed from its checkpoint equals one that was never stopped."""
    assert_resumes(plugin, plugin.recipe, 2, 2)
