"""The front door for evaluators and feature extractors: what they see, and scores with their intervals."""

from __future__ import annotations

from ganrun.evaluation import Evaluation
from ganrun.extractors import FeatureContext, bracket, check_classifier, check_features, check_output, context_of
from ganrun.feature_store import about_of, read_tensors
from ganrun.samples import KEY, real_rows
from ganrun.scores import NORMAL, Score, bootstrap, jackknife, of_rows, of_subsets, share
from ganrun.statistics import Statistics, not_finite

__all__ = [
    "KEY",
    "NORMAL",
    "Evaluation",
    "FeatureContext",
    "Score",
    "Statistics",
    "about_of",
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
    "read_tensors",
    "real_rows",
    "share",
]
