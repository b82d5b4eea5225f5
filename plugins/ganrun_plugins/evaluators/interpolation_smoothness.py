"""How evenly samples change on the way from one latent to another, in a feature space.

The check of Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative
adversarial networks" (2016), "walking in the latent space", as numbers: sharp transitions on the way are a sign that
samples were memorised. With steps s_i, the feature distances between neighbours on a path of evenly spaced latents, and
E the mean over paths,

    length = E[sum_i s_i] / E[distance between the two ends],    largest-jump = E[max_i s_i / mean_i s_i].

Length is at least 1, and 1 if features move on straight lines (a ratio of means, because of single paths it is
unbounded: ends may lie close together); the largest jump is 1 if they move evenly and the number of steps if everything
changes at once. Real data have no such paths: compare generators with one another, at one number of points. A path is
an arc between normal latents and a straight line between others. Images are rounded to 256 levels first, so many tiny
steps in pixels are a little longer than their sum before rounding.

Perceptual path length (Karras, Laine and Aila, "A style-based generator architecture for generative adversarial
networks", 2019) is not offered: it is defined by LPIPS, a network with weights that do not come with ganrun, and on any
other features it would be another number under its name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Part, PartOf, Reason, UserError, hookimpl
from ganrun.plugin.evaluation import Evaluation, Score, bracket, check_features, of_rows

CHUNK = 256  # samples whose features are computed at a time


def length(paths: Tensor) -> Score:
    """How much longer paths are than the straight lines between their ends: features (P, T, d) -> at least 1.

    NaN if all paths end where they began.
    """
    ways = steps(paths).sum(1)  # (P,)
    straight = (paths[:, -1].double() - paths[:, 0].double()).norm(dim=1)  # (P,)
    if not float(straight.sum()):
        return Score(math.nan, method=f"all {len(paths)} paths end where they began")
    value = ways.mean() / straight.mean()
    # the delta method: to first order, a ratio of means is the mean of these, and their mean is the ratio exactly
    return over_paths(of_rows(value + (ways - value * straight) / straight.mean()))


def largest_jump(paths: Tensor) -> Score:
    """The largest step of a path over its mean step, the mean over paths: features (P, T, d) -> from 1 to T - 1.

    Paths that stand still have none; NaN if all do.
    """
    found = steps(paths)
    moving = found[found.sum(1) > 0]
    still = len(found) - len(moving)
    if not len(moving):
        return Score(math.nan, method=f"all {still} paths stand still")
    score = over_paths(of_rows(moving.max(1).values / moving.mean(1)))
    return replace(score, method=f"{score.method}; {still} of {len(found)} paths stand still") if still else score


def steps(paths: Tensor) -> Tensor:
    """The distances between neighbours: features (P, T, d) -> (P, T - 1) float64.

    Raises:
        UserError: for no paths, fewer than three points on them, or values that are not finite.
    """
    if paths.dim() != 3 or not len(paths) or paths.shape[1] < 3:
        raise UserError(
            "interpolation-smoothness: it needs paths (P, T, d) of at least 3 points, "
            f"and got {tuple(paths.shape)}; set points: 16"
        )
    if not bool(paths.isfinite().all()):
        raise UserError("interpolation-smoothness: some features are not finite numbers; leave those paths out")
    found: Tensor = (paths[:, 1:].double() - paths[:, :-1].double()).norm(dim=2)
    return found


def over_paths(score: Score) -> Score:
    """The same score, whose rows were paths and no samples."""
    return replace(score, method=score.method.replace("samples", "paths"))


class InterpolationSmoothness:
    """``[FEATURES].length`` and ``[FEATURES].largest-jump``, of the first output.

    NaN while fakes are not finite, or all alike.
    """

    needs = {
        "latent": Reason(
            "it walks from one latent to another, and this variant makes samples from no latent",
            "a variant with a latent, such as dcgan",
        )
    }

    def __init__(
        self,
        *,
        features: Annotated[
            Part, PartOf("features", default="classifier"), Field(description="the space in which steps are measured")
        ],
        pairs: Annotated[int, Field(ge=2, description="paths")] = 64,
        points: Annotated[int, Field(ge=3, description="samples on a path, its two ends included")] = 16,
    ) -> None:
        self.features = features
        self.pairs = pairs
        self.points = points

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        check_features(experiment, self.features)

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        samples = evaluation.between(self.pairs, self.points)  # (P, T, *shape)
        if samples is None:
            raise UserError(
                "interpolation-smoothness: there is no way from one sample to another without a generator that starts "
                "from continuous latents; score a run of such a variant, or leave this evaluator out"
            )
        name = bracket(self.features, None)
        paths = self._features(evaluation, samples)
        if not bool(paths.isfinite().all()):
            return {f"{name}.length": Score(math.nan), f"{name}.largest-jump": Score(math.nan)}
        return {f"{name}.length": length(paths), f"{name}.largest-jump": largest_jump(paths)}

    def _features(self, evaluation: Evaluation, samples: Tensor) -> Tensor:
        """Features of the samples on the paths, (P, T, *shape) -> (P, T, d)."""
        extract = evaluation.features(self.features)
        with torch.no_grad():
            # (P * T, d)
            found = torch.cat([extract(some).float().cpu() for some in torch.split(samples.flatten(0, 1), CHUNK)])
        return found.reshape(*samples.shape[:2], -1)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "interpolation-smoothness", InterpolationSmoothness)
