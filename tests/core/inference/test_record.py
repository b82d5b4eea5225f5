"""What a run's folder says of the run."""

import json

import pytest

from ganrun.errors import UserError
from ganrun.inference.record import Curve, read_record, thinned


def folder_of(tmp_path, metrics=(), evaluations=(), health=(), steps=100):
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(f"variant: {{gan: {{}}}}\ndataset: {{ring: {{}}}}\ntrain: {{steps: {steps}}}\n")
    for name, lines in {"metrics": metrics, "evaluations": evaluations, "health": health}.items():
        (run / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


FIRST = {"step": 50, "time": 10.0, "discriminator/x.real": 0.5, "generator/x.fake": None, "rate/generator": 1e-4}
SECOND = {"step": 100, "time": 12.0, "discriminator/x.real": 0.4, "generator/x.fake": 0.7, "rate/generator": 1e-4}
METRICS = [{**FIRST, "ada.p": 0.1}, {**SECOND, "ada.p": 0.2}]
SCORES = [{"step": 100, "scores": {"fid": {"value": 9.0, "low": 8.0, "high": 10.0}, "kid": {"value": None}}}]


def test_curves_are_told_apart_by_their_names(tmp_path):
    record = read_record(folder_of(tmp_path, METRICS, SCORES))
    assert [curve.name for curve in record.losses] == ["discriminator/x.real", "generator/x.fake"]
    assert [curve.name for curve in record.rates] == ["rate/generator"]
    assert [curve.name for curve in record.notes] == ["ada.p"]
    assert record.scores[0] == Curve("fid", [100], [9.0], [8.0], [10.0])
    assert record.losses[1].values == [None, 0.7]
    assert (record.step, record.steps, record.state) == (100, 100, "finished: 100 steps")


def test_a_run_that_goes_on_or_broke_off_is_told_by_its_newest_step(tmp_path):
    run = folder_of(tmp_path, METRICS, steps=500)
    (run / "samples").mkdir()
    (run / "samples/step-0000120.png").write_bytes(b"")
    (run / "samples/other.png").write_bytes(b"")
    record = read_record(run)
    assert record.state == "step 120 of 500: going on, or broken off"
    assert list(record.pictures) == [120]


def test_time_leaves_out_breaks():
    from ganrun.inference.record import _seconds

    times = [0, 10, 20, 30, 10_000, 10_010]
    assert _seconds([{"time": float(time)} for time in times]) == 40
    assert _seconds([]) == 0


def test_a_torn_line_and_damaged_files_are_passed_over_and_named(tmp_path):
    run = folder_of(tmp_path, METRICS)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 150, "dis')
    (run / "versions.json").write_text("{")
    (run / "evaluations.jsonl").write_bytes(b"\xff\xfe")
    record = read_record(run)
    assert record.step == 100
    assert any(line.startswith("versions.json: ") for line in record.damaged)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        read_record(tmp_path)
    with pytest.raises(UserError, match="is not there"):
        read_record(tmp_path / "nowhere")


def test_a_thinned_curve_keeps_its_ends_and_every_peak():
    values = [0.0] * 5000
    values[1234], values[4321] = 9.0, -9.0
    curve = thinned(Curve("x", list(range(5000)), values), 100)
    assert len(curve.steps) <= 110
    assert (curve.steps[0], curve.steps[-1]) == (0, 4999)
    assert {(1234, 9.0), (4321, -9.0)} <= set(zip(curve.steps, curve.values))
    short = Curve("x", [1, 2], [0.0, None])
    assert thinned(short, 100) is short
