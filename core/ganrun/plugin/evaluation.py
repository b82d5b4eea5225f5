"""The front door for evaluators and feature extractors: what they see, and scores with their intervals."""

from __future__ import annotations

from ganrun.evaluation.evaluation import Evaluation
from ganrun.evaluation.features import (
    FeatureContext,
    bracket,
    check_classifier,
    check_features,
    check_output,
    context_of,
)
from ganrun.evaluation.least import Least
from ganrun.evaluation.scores import NORMAL, Score, bootstrap, jackknife, of_rows, of_subsets, share
from ganrun.evaluation.statistics import Statistics, not_finite

__all__ = [
    "NORMAL",
    "Evaluation",
    "FeatureContext",
    "Least",
    "Score",
    "Statistics",
    "bootstrap",
    "bracket",
    "check_classifier",
    "check_features",
    "check_output",
    "context_of",
    "jackknife",
    "not_finite",
    "of_rows",
    "of_subsets",
    "share",
]
