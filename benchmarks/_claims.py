"""The claims of the variants: for each a sentence, the scores that show it, and the rows that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row: a shipped recipe and what is changed in it, as after ``--set``."""

    recipe: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """What is shown. scores: name -> digits to print; a row without a score leaves its cell empty."""

    says: str
    scores: Mapping[str, int]
    rows: Mapping[str, Row]


def semi_supervised(labels: int) -> dict[str, Row]:
    """SGAN with some labels, and the same network trained on the labels alone."""
    given = (f"dataset.semi-supervised.labels={labels}", "train.steps=1000")
    return {
        f"{labels} labels, SGAN": Row("sgan_digits", given),
        f"{labels} labels alone": Row("sgan_digits", (*given, "variant.sgan.unlabelled=0")),
    }


ASKED = {"class-share[classifier].accuracy": 3, "class-share[classifier].accuracy-of-real": 3, "frechet-distance[classifier]": 1}
MODES = {"mode-coverage.modes": 1, "mode-coverage.modes-with-20": 1, "mode-coverage.percent-within": 1, "mode-coverage.reverse-kl": 3}
CLAIMS = {
    "cgan": Claim(
        "Share of G(z, y) that the shipped classifier reads as y, on digits.", ASKED,
        {"cgan": Row("cgan_digits", ("train.steps=1500",)), "acgan": Row("acgan_digits", ("train.steps=1500",))},
    ),
    "glyphs": Claim(
        "The label map of 128 classes: share of G(z, y) that a classifier trained on the real figures reads as y.", ASKED,
        {"cgan, linear label map": Row("cgan_glyphs")},
    ),
    "sgan": Claim(
        "Test accuracy with few labels, beside the same network trained on the labels alone. Digits have 899 training pictures: 1000 labels are all of them.",
        {"accuracy": 3},
        {**{name: row for labels in (25, 50, 100, 1000) for name, row in semi_supervised(labels).items()},
         "100 labels, LSE form and feature matching": Row("sgan_digits_improved", ("train.steps=1000",))},
    ),
    "infogan": Claim("The best one-to-one matching of a code of ten values to the digits, no label seen.", {"accuracy.matched": 3}, {"infogan": Row("infogan_digits")}),
}  # fmt: skip
