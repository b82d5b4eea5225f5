"""Parzen-window log-likelihood of test samples, under a mixture of Gaussians around the fakes (2014).

Breuleux et al., "Quickly generating representative samples from an RBM-derived process" (2011), in the protocol of
Goodfellow et al., "Generative adversarial nets" (2014): log p(x) = log (1/n) sum_i N(x; fake_i, sigma^2 I), in nats,
averaged over test samples, with 10,000 fakes. sigma is the one of 10 candidates, evenly spaced on a log scale from 0.1
to 1, that serves real samples held for the choice best. Images are taken from [-1, 1] to [0, 1] first and flattened;
points and latents are taken as they are, so they may need other candidates. ``sigma`` is a score, too: one at the end
of the candidates says that they ought to reach further.

It is kept because old tables hold it, and a poor measure: Theis et al., "A note on the evaluation of generative models"
(2016), show that already on patches of 6 x 6 pixels very many samples of a known density miss its likelihood by far,
that models are ranked wrongly by it, and that centroids of k-means score above real samples. It depends on the number
of dimensions and rises with that of fakes: compare equal numbers, of equal shapes, only. Tables mark fewer than 1,000
samples of any kind.

Differences from the published code: the standard error has n - 1 in it. Its choice of sigma is made on MNIST's last
10,000 training images, which took no part in training; here on ``validation`` samples of the train split, which did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Refusal, UserError, hookimpl
from ganrun.plugin.evaluation import Evaluation, Least, Score, check_output, not_finite, of_rows
from ganrun_plugins.evaluators._comparison import Output

SAMPLES = 10_000  # fakes, in the papers of 2014
VALIDATION = 1000  # real samples to choose sigma on, in the published code
BLOCK = 2**22  # numbers of a block of distances, or of samples: 32 MiB


def log_densities(x: Tensor, fake: Tensor, sigmas: Sequence[float]) -> Tensor:
    """log p(x) in nats under the mixture around fake (n, d), for each sigma: x (m, d) -> (S, m) float64.

    Distances are taken once for all sigmas, a block of rows at a time.
    """
    n, d = fake.shape
    middle = fake.mean(0, dtype=torch.float64)  # (d,), taken off: squares of what is far from 0 lose digits
    rows, columns = max(1, BLOCK // n), max(1, BLOCK // d)
    found = []
    for some in torch.split(x, rows):
        near = some.double() - middle  # (b, d)
        squares = torch.empty(len(some), n, dtype=torch.float64)
        for start in range(0, n, columns):
            around = fake[start : start + columns].double() - middle
            block = squares[:, start : start + columns]
            torch.addmm(around.square().sum(1), near, around.T, alpha=-2, out=block)
        squares += near.square().sum(1, keepdim=True)
        squares.clamp_(min=0)
        found.append(torch.stack([torch.logsumexp(squares / (-2 * sigma**2), 1) for sigma in sigmas]))  # (S, b)
    scale = torch.tensor(
        [math.log(n) + d * (math.log(sigma) + math.log(2 * math.pi) / 2) for sigma in sigmas], dtype=torch.float64
    )
    return torch.cat(found, 1) - scale[:, None]


def parzen_likelihood(real: Tensor, fake: Tensor, sigma: float) -> Score:
    """The mean log-density in nats of real samples (m, d) under windows around fakes (n, d).

    Its standard error is that over real samples.

    Raises:
        UserError: for an empty set, unequal sizes, values that are not finite, or a sigma that is not positive.
    """
    real, fake = _checked(real, fake, [sigma])
    score = of_rows(log_densities(real, fake, [sigma])[0], enough=VALIDATION)
    return score if score.low is None else replace(score, method="standard error of the mean over test samples")


def best_sigma(validation: Tensor, fake: Tensor, sigmas: Sequence[float]) -> float:
    """The sigma under which real samples (m, d) are the most likely; the same errors as :func:`parzen_likelihood`."""
    validation, fake = _checked(validation, fake, sigmas)
    return float(sigmas[int(log_densities(validation, fake, sigmas).mean(1).argmax())])


def candidates(smallest: float, largest: float, count: int) -> list[float]:
    """``count`` numbers from ``smallest`` to ``largest``, each the same multiple of the one before.

    One alone is the smallest.
    """
    ratio = (largest / smallest) ** (1 / max(1, count - 1))
    return [smallest * ratio**i for i in range(count)]


def _checked(real: Tensor, fake: Tensor, sigmas: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Both sets flattened, on the CPU."""
    for x, what in ((real, "the real set"), (fake, "the set of fakes")):
        if not len(x):
            raise UserError(f"parzen-likelihood: {what} holds no sample; ask for at least one")
        bad = not_finite(x)
        if bad:
            raise UserError(
                f"parzen-likelihood: {bad} of the {len(x)} samples of {what} are not finite; leave them out"
            )
    real, fake = real.detach().flatten(1).cpu(), fake.detach().flatten(1).cpu()
    if real.shape[1] != fake.shape[1]:
        raise UserError(
            f"parzen-likelihood: samples of {real.shape[1]} and {fake.shape[1]} numbers; take both sets of one shape"
        )
    if not sigmas or not all(0 < sigma < math.inf for sigma in sigmas):
        raise UserError(
            f"parzen-likelihood: a window has a width above 0, and {list(sigmas)} was asked for; give positive sigmas"
        )
    return real, fake


class ParzenLikelihood:
    """The log-likelihood in nats under the evaluator's own name, and ``sigma``; NaN while fakes are not finite.

    With ``of``, the names are ``OF`` and ``OF.sigma``. 10,000 fakes, unless the recipe says ``samples``.
    """

    def __init__(
        self,
        *,
        of: Output = None,
        candidates: Annotated[int, Field(ge=1, description="widths of the window to choose from")] = 10,
        smallest: Annotated[
            float, Field(gt=0, description="the smallest of them, in pixels from 0 to 1, or in units of the points")
        ] = 0.1,
        largest: Annotated[float, Field(gt=0, description="the largest of them")] = 1.0,
        validation: Annotated[
            int, Field(ge=1, description="samples of the train split to choose the width on")
        ] = VALIDATION,
        test: Annotated[
            int, Field(ge=1, description="samples of the test split, at most, whose likelihood is taken")
        ] = 10_000,
    ) -> None:
        self.of = of
        self.candidates = candidates
        self.smallest = smallest
        self.largest = largest
        self.validation = validation
        self.test = test
        why = "a likelihood"
        self.least = [Least("train", 1, why), Least("test", 1, why)]

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        check_output(experiment, self.of)
        if self.largest < self.smallest:
            raise Refusal(
                f"no window is from {self.smallest:g} to {self.largest:g} wide", f"largest: {self.smallest:g}, or more"
            )

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        name = self.of or ""
        image = evaluation.spaces[self.of or evaluation.output].kind == "image"
        # of translations and images in a folder there are no more than given
        bounded = evaluation.description.conditional or evaluation.sample_maker is None
        n = evaluation.count(self.of) if evaluation.samples is not None or bounded else SAMPLES
        fake = scaled(evaluation.fakes(self.of, n), image)
        validation = scaled(evaluation.real(self.of, "train", self.validation), image)
        test = scaled(evaluation.real(self.of, "test", self.test), image)
        if not not_finite(fake):
            sigma = best_sigma(validation, fake, candidates(self.smallest, self.largest, self.candidates))
            score = parzen_likelihood(test, fake, sigma)
        else:
            score, sigma = Score(math.nan), math.nan
        return {name: score, f"{name}.sigma".lstrip("."): sigma}


def scaled(x: Tensor, image: bool) -> Tensor:
    """(n, *shape) -> (n, d): pixels from [-1, 1] to [0, 1], everything else as it is."""
    return ((x + 1) / 2 if image else x).flatten(1)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "parzen-likelihood", ParzenLikelihood)
