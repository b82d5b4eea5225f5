"""Features of real data on disk: read by the next run, damaged, or not to be written."""

import pytest
import torch
from safetensors import SafetensorError

from ganrun.evaluation import feature_store
from ganrun.training.scoring import evaluate


def test_a_full_disk_costs_a_warning_and_leaves_no_torn_file(tmp_path, monkeypatch):
    def full(tensors, name, metadata):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(feature_store, "save_file", full)
    with pytest.warns(UserWarning, match="No space left on device.*computed again"):
        feature_store.FeatureStore(tmp_path).write({"a": 1}, "features", {"x": torch.zeros(2)})
    assert not list(tmp_path.iterdir())


def test_real_features_are_read_from_disk_by_the_next_run(tiny, make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path))
    calls = []

    class Slow:
        size = 2

        def __init__(self, context):
            self.calls = calls

        def __call__(self, x):
            calls.append(len(x))
            return x.flatten(1)

        def fingerprint(self):
            return "slow"

    def scores(count=512):
        run = make_run(
            tiny(evaluators=[{"frechet-distance": {"features": "slow"}}], dataset={"ring": {"count": count}}),
            {"features.slow": Slow},
        )
        run.step = run.steps
        return evaluate(run)

    first = scores()
    assert sum(calls) == 2 * 512, "real and fake"
    assert scores() == first
    assert sum(calls) == 3 * 512, "the fakes alone"
    scores(count=256)
    assert sum(calls) == 3 * 512 + 2 * 256, "other data are other features"


def test_a_damaged_file_of_features_is_computed_again(tiny, make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path))
    from ganrun.evaluation.feature_store import FeatureStore

    store = FeatureStore(tmp_path)
    store.write({"a": 1}, "features", {"x": torch.ones(3)})
    (file,) = tmp_path.glob("*.safetensors")
    assert torch.equal(store.read({"a": 1}, "features")["x"], torch.ones(3))
    file.write_bytes(file.read_bytes()[:40])
    assert store.read({"a": 1}, "features") is None
    assert store.read({"a": 2}, "features") is None
