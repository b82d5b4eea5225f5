"""How many modes of a mixture of Gaussians the samples found, how many samples are near one, and how evenly.

The measures of Srivastava et al., "VEEGAN" (2017), and Lin et al., "PacGAN" (2018): 2,500 samples; a sample is good
within 3 standard deviations of the nearest centre (98.9% of an exact generator's are, in the plane); a mode is found if
a good sample is nearest to it; reverse KL is KL(shares of the good samples by mode || uniform), in nats.

Differences from the papers: modes with at least 20 good samples are counted, too, because a diffuse generator that
learnt nothing has one near most modes. On fewer samples than theirs both counts are marked, since a mode is found the
more easily the more are drawn.

The reverse KL of n good samples of an exact generator is about (M - 1) / (2 n), not 0; fewer than 10 M samples are
marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Reason, Refusal, hookimpl
from ganrun.plugin.evaluation import Evaluation, Score, share
from ganrun_plugins.evaluators._classes import of_counts

SAMPLES = 2500  # of both papers


def good_samples(x: Tensor, centres: Tensor, radius: float) -> Tensor:
    """How many of the samples x (N, D) lie within ``radius`` of each centre (M, D), (M,) int64.

    Each counts for its nearest.

    Samples that are not finite are near nothing.
    """
    x = x[x.isfinite().all(1)].double()
    counts = torch.zeros(len(centres), dtype=torch.int64)
    for some in torch.split(x, 4096):
        # (n,)
        distance, nearest = torch.cdist(some, centres.double(), compute_mode="donot_use_mm_for_euclid_dist").min(1)
        counts += torch.bincount(nearest[distance <= radius], minlength=len(centres))
    return counts


def reverse_kl(counts: Tensor) -> float:
    """KL(counts (M,) as shares || uniform) in nats: 0 if even, log M if all are in one.

    Infinite if there are none at all.
    """
    return float(_reverse_kl(counts))


def _reverse_kl(counts: Tensor) -> Tensor:
    """The same of each row of counts (..., M)."""
    total = counts.sum(-1, keepdim=True)
    shares = counts.double() / total.clamp(min=1)
    divergence: Tensor = torch.special.xlogy(shares, shares * counts.shape[-1]).sum(-1).clamp(min=0)
    return torch.where(total.squeeze(-1) == 0, math.inf, divergence)


def coverage(counts: Tensor, n: int, *, enough: int = 20, seed: int = 0) -> dict[str, Score]:
    """All scores, from the number of good samples near each centre (M,) int64 among n samples."""
    good = int(counts.sum())
    every = torch.cat([counts, torch.tensor([n - good])])  # (M + 1,), the last ones near no mode
    within = share(good, n)
    low, high = (None if end is None else 100 * end for end in (within.low, within.high))
    return {
        # no interval: resampling loses modes and never finds one that was not seen, so the value would be its upper end
        # always
        "modes": Score(int((counts > 0).sum()), enough=SAMPLES),
        f"modes-with-{enough}": of_counts(
            lambda found: (found[..., :-1] >= enough).sum(-1), every, centred=False, seed=seed, enough=SAMPLES
        ),
        "percent-within": Score(100 * good / n, low, high, within.method),
        # the number of good samples held
        "reverse-kl": of_counts(_reverse_kl, counts, centred=True, seed=seed, enough=10 * len(counts)),
    }


class ModeCoverage:
    """``modes``, ``modes-with-20``, ``percent-within`` and ``reverse-kl`` (infinite while no sample is near a centre).

    The data set has ``centres`` (M, D) and ``sd``. 2,500 samples, unless the recipe says ``samples``.
    """

    needs = {
        "modes": Reason(
            "it counts the modes of a known mixture, and this data set does not say where its modes are",
            "dataset: ring, or grid",
        )
    }

    def __init__(
        self,
        *,
        within: Annotated[
            float, Field(gt=0, description="standard deviations from a centre at which a sample still is good")
        ] = 3.0,
        enough: Annotated[int, Field(ge=2, description="good samples that make a mode count in modes-with-N")] = 20,
    ) -> None:
        self.within = within
        self.enough = enough

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse modes without width, which no generator meets."""
        if getattr(experiment.dataset, "sd", 1) <= 0:
            raise Refusal(
                "the modes of this data set have a standard deviation of 0, so no sample can be near one",
                "a positive sd",
            )

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        x = evaluation.fakes(n=evaluation.samples or SAMPLES)  # (N, D)
        data = evaluation.dataset("train")
        counts = good_samples(x, data.centres, self.within * data.sd)  # type: ignore[attr-defined]
        return coverage(counts, len(x), enough=self.enough, seed=evaluation.seed)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "mode-coverage", ModeCoverage)
