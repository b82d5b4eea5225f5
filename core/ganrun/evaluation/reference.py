"""Statistics of real data that `ganrun reference` wrote to a file, as an evaluator takes them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from ganrun.errors import UserError
from ganrun.evaluation.evaluation import Evaluation
from ganrun.evaluation.feature_store import about_of, read_tensors
from ganrun.evaluation.statistics import Statistics
from ganrun.recipe import Part


def reference(evaluation: Evaluation, path: Path, part: Part, name: str) -> Statistics:
    """The statistics of a file, if they are of the features of ``part`` and of an entry's shape; noted as asked for."""
    about = about_of(path)
    here = {"extractor": evaluation.features(part, name).fingerprint(), "shape": list(evaluation.spaces[name].shape)}
    for key, value in here.items():
        if about.get(key) != value:
            raise UserError(
                f"{evaluation.evaluator}: {path} has {key} {about.get(key)}, and the samples have {value}; "
                "write a reference that fits"
            )
    evaluation.requested.real_samples(about["split"], about["rows"], about["data"], about.get("of"))
    how = {"preparation": about.get("preparation", ""), "departs": about.get("departs", False)}
    evaluation.requested.prepared[about["split"]] = SimpleNamespace(**how)
    return Statistics.from_tensors(read_tensors(path))
