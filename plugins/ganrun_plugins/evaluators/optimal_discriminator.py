"""The theory of the first GAN, on points: p, q, the best discriminator, and how near the trained one is.

Goodfellow et al., "Generative Adversarial Nets" (2014), section 4: for data of density p and a generator of density q
the best discriminator is D*(x) = p(x) / (p(x) + q(x)), and the value of the game is then

    V(D*) = E_p log D* + E_q log(1 - D*) = -log 4 + 2 JSD(p, q),    from -log 4 (q = p) up to 0 (they share nothing)

Densities are shares of samples in equal cells (a histogram), so that everything is in closed form there: JSD in nats,
D* in each cell. On n samples of each the JSD of equal densities comes out at about (cells that hold samples - 1) / (4
n), not at 0; fewer than 20 samples a cell are marked.

The discriminator's own value takes its logits l: E_p log sigmoid(l) + E_q log sigmoid(-l). What a generator's two
losses give it to learn from is their slope at the logits of its samples: D for log(1 - D), which vanishes where fakes
are told apart surely, and 1 - D for -log D, which does not (section 3, last paragraph). On a line the curves are drawn;
in the plane the surface of the score with the line on which it is undecided. A discriminator that is given more than
the point (a label, a latent), and a loss whose score of a point depends on other samples (``cramer``), have no value at
a point: the densities' scores alone are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Component, Experiment, Reason, Refusal, UserError, hookimpl
from ganrun.plugin.data import image_grid
from ganrun.plugin.evaluation import Evaluation, Least, Score, of_rows
from ganrun_plugins.evaluators._plots import curves, surface


def cells_of(x: Tensor, low: Tensor, high: Tensor, cells: int) -> Tensor:
    """The cell of each point, (n,) int64, the last axis counted fastest.

    Points outside are counted to the nearest cell.
    """
    place = ((x.double() - low) / (high - low) * cells).floor().clamp(0, cells - 1).long()
    flat = torch.zeros(len(x), dtype=torch.int64)
    for axis in range(x.shape[1]):
        flat = flat * cells + place[:, axis]
    return flat


def shares(x: Tensor, low: Tensor, high: Tensor, cells: int) -> Tensor:
    """Shares of points (n, D) in equal cells of the box from ``low`` to ``high``, (cells ** D,) float64.

    There are ``cells`` along each axis.
    """
    flat = cells_of(x, low, high, cells)
    return torch.bincount(flat, minlength=cells ** x.shape[1]).double() / len(x)


def jensen_shannon(p: Tensor, q: Tensor) -> float:
    """JSD of two sets of shares (K,), in nats, from 0 to log 2."""
    middle = (p + q) / 2
    return float(
        (torch.special.xlogy(p, p) + torch.special.xlogy(q, q)).sum() / 2 - torch.special.xlogy(middle, middle).sum()
    )


class OptimalDiscriminator:
    """``.jsd`` and ``.value-of-optimum``; more of a loss whose score is a logit.

    That is ``.value``, ``.distance`` (mean |D - D*| over real samples and fakes), ``.slope-saturating`` and
    ``.slope-non-saturating``. NaN while samples are not finite.
    """

    refuses: ClassVar[dict[str, Reason]] = {
        "packed": Reason("a discriminator of packs has no value at a point", "leave packing out")
    }
    needs: ClassVar[dict[str, Reason]] = {
        "space:points": Reason(
            "the densities of images cannot be counted in cells", "a data set of points, such as line, die or ring"
        )
    }

    def __init__(
        self,
        *,
        cells: Annotated[int, Field(ge=2, le=400, description="along each axis")] = 60,
        draw: Annotated[bool, Field(description="keep a picture of every evaluation")] = True,
    ) -> None:
        self.cells = cells
        self.draw = draw
        self.least = [Least("test", 1, "a density"), Least("fake", 1, "a density")]
        self.pointwise = False  # whether the discriminator's score is a function of the point
        self.probability = False

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse points in more than two dimensions."""
        space = experiment.dataset.spaces[experiment.description.outputs[0]]
        if space.kind == "points" and space.size > 2:
            raise Refusal(
                f"cells are counted on a line or in a plane, and these points have {space.size} coordinates",
                "points of one or two",
            )
        asked = [experiment.description.networks[game.discriminator].interface for game in experiment.games[:1]]
        alone = any(interface.takes == space and not interface.given for interface in asked)
        losses = [experiment.loss(game.name) for game in experiment.games[:1]]
        self.pointwise = alone and not any(getattr(loss, "score_sees", ()) for loss in losses)
        self.probability = self.pointwise and all("logit:probability" in loss.provides for loss in losses)

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        if evaluation.sample_maker is None:
            raise UserError(
                "optimal-discriminator: there is no discriminator beside samples in a folder; evaluate a run"
            )
        fake = evaluation.fakes().flatten(1)
        real = evaluation.real(n=len(fake)).flatten(1)
        if not bool(fake.isfinite().all()):
            return {"jsd": float("nan"), "value-of-optimum": float("nan")}
        low, high = _box(torch.cat([real, fake]).double())
        p, q = (shares(x, low, high, self.cells) for x in (real, fake))
        divergence = jensen_shannon(p, q)
        enough = 20 * int(((p + q) > 0).sum())
        found: dict[str, float | Score] = {
            "jsd": Score(divergence, enough=enough),
            "value-of-optimum": Score(
                2 * divergence - 2 * float(torch.log(torch.tensor(2.0, dtype=torch.float64))), enough=enough
            ),
        }
        if self.probability:
            best = torch.nan_to_num(p / (p + q), nan=0.5)
            found |= self._of_logits(evaluation, real, fake, best, low, high)
        if self.draw:
            self._picture(evaluation, real, fake, p, q, low, high)
        return found

    def _of_logits(
        self, evaluation: Evaluation, real: Tensor, fake: Tensor, best: Tensor, low: Tensor, high: Tensor
    ) -> dict[str, Score]:
        """Scores of the trained discriminator's logits."""
        of_real, of_fake = self._scored(evaluation, real), self._scored(evaluation, fake)  # (n,), (m,)
        probability = torch.cat([of_real, of_fake]).sigmoid().double()
        cells = torch.cat([cells_of(x, low, high, self.cells) for x in (real, fake)])
        n = min(len(of_real), len(of_fake))
        return {
            "value": of_rows((F.logsigmoid(of_real[:n]) + F.logsigmoid(-of_fake[:n])).double()),
            "distance": of_rows((probability - best[cells]).abs()),
            "slope-saturating": of_rows(of_fake.sigmoid().double()),
            "slope-non-saturating": of_rows((-of_fake).sigmoid().double()),
        }

    @staticmethod
    def _scored(evaluation: Evaluation, x: Tensor) -> Tensor:
        assert evaluation.sample_maker is not None
        shape = evaluation.spaces[evaluation.output].shape
        return evaluation.sample_maker.scores(x.reshape(-1, *shape))

    def _picture(
        self, evaluation: Evaluation, real: Tensor, fake: Tensor, p: Tensor, q: Tensor, low: Tensor, high: Tensor
    ) -> None:
        """Densities beside D* and D on a line; the surface of the score, with real samples and fakes, in the plane."""
        centres = (torch.arange(self.cells) + 0.5) / self.cells
        if real.shape[1] == 1:
            x = (low + centres * (high - low)).float()  # (cells,)
            top = max(float(p.max()), float(q.max()), 1e-12)
            drawn = {"p (data)": p / top, "q (generator)": q / top, "D*": p / (p + q)}
            if self.probability:
                drawn["D"] = self._scored(evaluation, x[:, None]).sigmoid()
            evaluation.draw("curves", curves(x, {name: values.float() for name, values in drawn.items()}))
            return
        if not self.pointwise:
            return
        axes = [(low[k] + centres * (high[k] - low[k])).float() for k in range(2)]
        grid = torch.cartesian_prod(axes[1], axes[0]).flip(1)  # (cells^2, 2): rows from below, columns from the left
        values = self._scored(evaluation, grid).reshape(self.cells, self.cells)
        some = [(real[:500], image_grid.GREY), (fake[:500], (20, 20, 20))]
        evaluation.draw("surface", surface(values, some, low.float(), high.float(), middle=0.0))


def _box(x: Tensor) -> tuple[Tensor, Tensor]:
    """The corners (D,) of a box around points (n, D), with a tenth of its size on each side."""
    low, high = x.min(0).values, x.max(0).values
    around = ((high - low) / 10).clamp(min=1e-6)
    return low - around, high + around


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "optimal-discriminator", OptimalDiscriminator)
