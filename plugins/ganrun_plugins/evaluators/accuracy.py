"""How often the networks infer the right class of real test items, by classes or codes of their own.

Taught classes (Odena, "Semi-Supervised Learning with Generative Adversarial Networks", 2016): the share of test items
whose most likely class is their label. Codes (Chen et al., "InfoGAN", 2016, who give its complement, an error of 5 % on
MNIST): they have no names, so with ``matched`` each code stands for one class, under the one-to-one assignment that is
right most often; a code or class left over, where their numbers differ, counts as wrong always.

The best assignment is found on the test items themselves: of n items and K classes, codes that know nothing are right a
little more often than 1 / K, by about sqrt(2 log K / (n K)). Intervals hold the assignment fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Refusal, Space, UserError, hookimpl
from ganrun.plugin.evaluation import Evaluation, Least, Score, share


def matched_hits(code: Tensor, label: Tensor, codes: int, classes: int) -> int:
    """How many items are right under the best one-to-one assignment of codes (n,) to labels (n,)."""
    from scipy.optimize import linear_sum_assignment  # takes half a second: only when it is needed

    table = torch.bincount(code * classes + label, minlength=codes * classes).reshape(codes, classes)
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    return int(table[rows, columns].sum())


class Accuracy:
    """The share of real test items whose inferred class is their label.

    ``.matched``: with codes matched to classes first.

    NaN while what is inferred is not finite.
    """

    least: ClassVar[Sequence[Least]] = (Least("test", 1, "a share"),)

    def __init__(
        self,
        *,
        of: Annotated[
            str | None, Field(description="what is inferred, by name; null: the first that has classes")
        ] = None,
        matched: Annotated[
            bool, Field(description="whether codes are matched one to one to the classes first")
        ] = False,
    ) -> None:
        self.of = of
        self.matched = matched

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        infers, spaces = experiment.description.infers, experiment.dataset.spaces
        if not any(space.kind == "labels" and not space.shape for space in spaces.values()):
            raise Refusal(
                "it compares with the class of each test item, and the data have none",
                "a data set with one label for each item",
            )
        name = self._name(infers)
        if not self.matched and spaces.get(name) != infers[name]:
            raise Refusal(
                f"{name!r} is no entry of the data: which of its values should stand for which class?", "matched: true"
            )

    def _name(self, infers: Mapping[str, Space]) -> str:
        """What is scored, by name."""
        known = [name for name, space in infers.items() if space.kind == "labels" and not space.shape]
        if not known or (self.of is not None and self.of not in known):
            which = f"no classes called {self.of!r}" if known else "no class of a real item"
            instead = f"of: {' or '.join(known)}" if known else "a variant that does, such as sgan or infogan"
            raise Refusal(f"this variant infers {which}", instead)
        return self.of or known[0]

    @staticmethod
    def _truth(spaces: Mapping[str, Space], name: str) -> str:
        """The entry of the data that is compared with: of that name, else (codes have none) the first with classes."""
        known = [entry for entry, space in spaces.items() if space.kind == "labels" and not space.shape]
        return name if name in known else known[0]

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        if evaluation.sample_maker is None:
            raise UserError(
                "accuracy: it scores what networks infer from real items, and these are image files; evaluate a run"
            )
        name = self._name(evaluation.description.infers)
        logits = evaluation.inferred(name)  # (n, K)
        label = evaluation.real(self._truth(evaluation.spaces, name), n=len(logits)).long()  # (n,)
        key = "matched" if self.matched else ""
        if not bool(logits.isfinite().all()):
            return {key: float("nan")}
        found = logits.argmax(1)  # (n,)
        hits = (
            matched_hits(found, label, logits.shape[1], int(label.max()) + 1)
            if self.matched
            else int((found == label).sum())
        )
        return {key: share(hits, len(label))}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "accuracy", Accuracy)
