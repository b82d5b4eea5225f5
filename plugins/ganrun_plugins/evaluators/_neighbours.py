"""Nearest neighbours and balls among features, block by block: what the evaluators of neighbours share.

Squared distances come from one matrix product, |x|^2 + |y|^2 - 2 x.y, which is fast and loses digits to cancellation.
So the products only sort out what is certain: each comes with a bound of its rounding error, and whatever the bound
leaves open is computed again from the differences x - y, in float64. The answers are those of exact distances, ties and
copies included: equal pairs of points are at equal distances, and copies at distance 0. Both sets are moved by one
vector first, which changes no distance and keeps norms small.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ganrun.plugin.evaluation import NORMAL, Score, share

BLOCK = 1 << 26  # bytes of a block of distances: 64 MiB
PAIRS = 1 << 17  # numbers of a chunk of differences: 1 MiB of float64, which a cache holds
SPARE = 4  # candidates beyond the k wanted: enough to see that the k nearest are among them
NARROW = 64  # up to so many features the product costs no more in float64
OPEN = 64  # pairs a row left open on average, above which a block is done again in float64


def exact(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Squared distances of the pairs x[i], y[j], (len(i),) float64, from their differences."""
    size = max(1, PAIRS // x.shape[1])
    chunks = zip(i.split(size), j.split(size), strict=True)
    found = [(x[a].double() - y[b].double()).square().sum(1) for a, b in chunks]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def nearest(x: Tensor, points: Tensor, k: int, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """The k nearest of ``points`` (m, d) to each of x (n, d).

    Squared distances (n, k) float64, ascending, and their rows (n, k).

    same: x are the points, and no row is its own neighbour; a copy of it in another row is.
    """
    squares, places = torch.empty(len(x), k, dtype=torch.float64), torch.empty(len(x), k, dtype=torch.int64)
    wanted = min(k + SPARE, len(points) - same)
    todo = torch.arange(len(x))
    for kind in _kinds(x):
        left = []
        for rows, low, own, _ in _least(x, points, todo, kind):
            if same:
                low[torch.arange(len(rows)), rows] = math.inf
            best = low.topk(wanted, largest=False)
            found = exact(x, points, rows.repeat_interleave(wanted), best.indices.flatten()).view(-1, wanted)
            order = found.argsort(dim=1, stable=True)[:, :k]
            squares[rows], places[rows] = found.gather(1, order), best.indices.gather(1, order)
            beyond = best.values[:, -1].double() + own  # what is no candidate is at least as far as this
            left.append(rows[(beyond < squares[rows][:, -1]) & (wanted < len(points) - same)])
        todo = torch.cat(left)
    return squares, places


def radii(x: Tensor, k: int) -> Tensor:
    """The squared distance of each of x (n, d) to its k-th nearest other row, (n,) float64."""
    return nearest(x, x, k, same=True)[0][:, -1]


class Radii:
    """``radii``, remembering the last search: real features seldom change from one evaluation to the next.

    A search for k neighbours serves fewer, too.
    """

    def __init__(self) -> None:
        self._of: weakref.ref[Tensor] | None = None
        self._found = torch.zeros(0, 0)  # (n, k)

    def __call__(self, x: Tensor, k: int) -> Tensor:
        if self._of is None or self._of() is not x or self._found.shape[1] < k:
            self._of, self._found = weakref.ref(x), nearest(x, x, k, same=True)[0]
        return self._found[:, k - 1]


class Held(NamedTuple):
    """What balls hold of points.

    ``around`` (n,): in how many balls each point lies. ``inside`` (m,): how many points each ball holds.

    ``only_point`` (n,): how many balls hold this point and no other. ``only_ball`` (m,): how many points lie in this
    ball and no other.
    """

    around: Tensor
    inside: Tensor
    only_point: Tensor
    only_ball: Tensor


def balls(points: Tensor, centres: Tensor, squared: Tensor) -> Held:
    """How ``points`` (n, d) lie in closed balls around ``centres`` (m, d), with squared radii (m,) float64."""
    (found,) = held(points, centres, [squared], [])
    return found


class _Tally:
    """Hits of pairs (i, j): for each row and each column their number, and the sum of their places."""

    def __init__(self, n: int, m: int) -> None:
        self.rows, self.columns = torch.zeros(n, 2, dtype=torch.float64), torch.zeros(m, 2, dtype=torch.float64)

    def block(self, rows: Tensor, hits: Tensor) -> None:
        """All pairs of some rows (b,): hits (b, m), 0 or 1. Products count many times faster than sums over bools."""
        kind, columns = hits.dtype, torch.arange(hits.shape[1])
        self.rows[rows] += (hits @ torch.stack([torch.ones_like(columns), columns], 1).to(kind)).double()
        self.columns += (hits.T @ torch.stack([torch.ones_like(rows), rows], 1).to(kind)).double()

    def pairs(self, i: Tensor, j: Tensor) -> None:
        """Single pairs."""
        self.rows.index_add_(0, i, torch.stack([torch.ones_like(j), j], 1).double())
        self.columns.index_add_(0, j, torch.stack([torch.ones_like(i), i], 1).double())

    def held(self, *, by_rows: bool) -> Held:
        """With balls around the columns, or around the rows."""
        points, around = (self.columns, self.rows) if by_rows else (self.rows, self.columns)
        only_point = torch.bincount(around[around[:, 0] == 1, 1].long(), minlength=len(points))
        only_ball = torch.bincount(points[points[:, 0] == 1, 1].long(), minlength=len(around))
        return Held(points[:, 0].long(), around[:, 0].long(), only_point, only_ball)


def held(x: Tensor, y: Tensor, around_y: list[Tensor], around_x: list[Tensor]) -> list[Held]:
    """How x (n, d) lie in balls around y (m, d) for each set of squared radii ``around_y`` (m,).

    Then how y lie in balls around x for each set ``around_x`` (n,). One product of matrices serves all.
    """
    tallies = [_Tally(len(x), len(y)) for _ in (*around_y, *around_x)]
    todo = torch.arange(len(x))
    for kind in _kinds(x):
        left = [todo[:0]]
        for rows, low, own, margin in _least(x, y, todo, kind):
            low += own.to(kind)[:, None]
            squared = [*around_y, *(some[rows][:, None] for some in around_x)]
            rounding = 4 * torch.finfo(kind).eps
            # inside by the smallest distance that rounding allows
            unclear = [low <= (some * (1 + rounding)).to(kind) for some in squared]
            low += 2 * margin[0].to(kind)[:, None]
            low += 2 * margin[1].to(kind)
            surely = [low <= (some * (1 - rounding)).to(kind) for some in squared]  # by the largest
            for perhaps, sure in zip(unclear, surely, strict=True):
                perhaps &= ~sure
            if kind == torch.float32 and sum(int(torch.count_nonzero(some)) for some in unclear) > OPEN * len(rows):
                left.append(rows)
                continue
            for tally, sure, open_, some in zip(tallies, surely, unclear, squared, strict=True):
                tally.block(rows, low.copy_(sure))
                i, j = open_.nonzero(as_tuple=True)
                hit = exact(x, y, rows[i], j) <= some.expand(len(rows), len(y))[i, j]
                tally.pairs(rows[i[hit]], j[hit])
        todo = torch.cat(left)
    return [tally.held(by_rows=place >= len(around_y)) for place, tally in enumerate(tallies)]


def reached(hits: Tensor, only: Tensor, enough: int) -> Score:
    """The share of real points (n,) that some sample reaches.

    Each sample (m,) is the ``only`` one to reach some of them.

    The points that one sample reaches are hit or missed together, so they are no n independent trials. Leaving out
    sample i loses only_i points: the jackknife over samples. Wilson's interval is kept where it is wider, such as at 0.
    """
    n, m = len(hits), len(only)
    score = share(int(hits.sum()), n, enough=enough)
    error = NORMAL * math.sqrt((m - 1) / m * float((only.double() - only.double().mean()).square().sum())) / n
    low, high = max(0.0, score.value - error), min(1.0, score.value + error)
    return replace(
        score,
        low=min(score.low or 0.0, low),
        high=max(score.high or 0.0, high),
        method="jackknife over samples, at least Wilson's interval",
    )


def dependent(value: float, trials: float, enough: int, method: str) -> Score:
    """A share in [0, 1] of samples that amount to so many independent trials, with Wilson's interval of these."""
    whole = max(1, round(trials))
    score = share(round(value * whole), whole)
    low, high = min(value, score.low or 0.0), max(value, 0.0 if score.high is None else score.high)
    return Score(value, low, min(high, 1.0), method, enough)


def _kinds(x: Tensor) -> list[torch.dtype]:
    """The types to form products in: the second for the rows that the first leaves open."""
    return [torch.float64] if x.dtype == torch.float64 or x.shape[1] <= NARROW else [torch.float32, torch.float64]


def _least(
    x: Tensor, y: Tensor, todo: Tensor, kind: torch.dtype
) -> Iterator[tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]]:
    """Lower bounds of |x_i - y_j|^2, products formed in ``kind``, for the rows ``todo`` of x in blocks.

    Yields rows (b,), bounds without what belongs to the row (b, m), what belongs to the row (b,) float64, to be added,
    and the margins of error (b,), (m,) float64, whose sum the bounds lie below the products.

    A product of d numbers is off by less than sqrt(d) eps |x| |y|: rounding errors are as often up as down (the bound
    for errors that all conspire has d instead). Twice that is allowed for, and a few eps for the sums.
    """
    centre = y.mean(0, dtype=torch.float64).to(kind)
    factor = torch.finfo(kind).eps * (2 * math.sqrt(x.shape[1]) + 4)
    width = max(1, BLOCK // (x.shape[1] * kind.itemsize))
    # (m,)
    norms = torch.cat(
        [(part.to(kind) - centre).double().square().sum(1) for part in y.split(max(1, PAIRS // x.shape[1]))]
    )
    bias = (norms * (1 - factor)).to(kind)
    for rows in todo.split(max(1, BLOCK // (len(y) * kind.itemsize))):
        mine = x[rows].to(kind) - centre  # (b, d)
        low = torch.empty(len(rows), len(y), dtype=kind)
        for start in range(0, len(y), width):
            columns = slice(start, start + width)
            torch.addmm(bias[columns], mine, (y[columns].to(kind) - centre).T, alpha=-2, out=low[:, columns])
        length = mine.double().square().sum(1)
        yield rows, low, length * (1 - factor), (length * factor, norms * factor)
