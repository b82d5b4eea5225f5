"""What holds for every plugin that takes part in training: it trains, repeats itself, and resumes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch

from ganrun.preflight.stages import STAGES
from ganrun.testing.conditions import offline, when
from ganrun.testing.plugin import Plugin
from ganrun.testing.runs import assert_resumes, assert_sound, first_difference, probed, trained, weights
from ganrun.training.build import RefusedError


def in_the_step(plugin: Plugin) -> bool:
    """Whether a plugin acts inside the training step of any variant."""
    return plugin.kind in ("loss", "trick")


def with_train(recipe: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """A recipe with other settings of ``train``."""
    return {**recipe, "train": {**recipe["train"], **settings}}


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


@when(in_the_step)
def check_works_everywhere_or_is_refused(plugin: Plugin) -> None:
    """On points, on images, and on translations it trains, or is refused before: nothing fails later."""
    for name in ("points", "images", "translation"):
        with contextlib.suppress(RefusedError):
            assert_sound(trained(plugin, probed(plugin.put({**STAGES[name], **plugin.example.recipe})), 2))


@when(in_the_step)
def check_mixed_precision(plugin: Plugin) -> None:
    """Terms and weights stay finite, and weights float32, under ``train.precision: bfloat16``."""
    run = trained(plugin, probed(with_train(plugin.recipe, precision="bfloat16")), 3)
    assert_sound(run)
    assert all(value.dtype != torch.bfloat16 for value in weights(run).values()), "a weight became bfloat16"


@when(in_the_step)
def check_float64(plugin: Plugin) -> None:
    """Under ``train.precision: float64`` every term and weight is float64."""
    run = trained(plugin, probed(with_train(plugin.recipe, precision="float64")), 2)
    assert_sound(run)
    for phase, terms in run.engine.terms.items():
        wrong = [name for name, value in terms.items() if value.dtype != torch.float64]
        assert not wrong, f"{phase}: the term {wrong[0]} is {terms[wrong[0]].dtype}; use the dtype of the input"
    assert all(value.dtype == torch.float64 for value in weights(run).values() if value.is_floating_point()), (
        "a weight is not float64"
    )


@when(in_the_step)
def check_settings_of_every_run(plugin: Plugin) -> None:
    """It trains with accumulated micro-batches, and with real and fake samples in one batch, or is refused."""
    for settings in ({"accumulate": 2}, {"batches": "joint"}):
        with contextlib.suppress(RefusedError):
            assert_sound(trained(plugin, probed(with_train(plugin.recipe, **settings)), 2))
