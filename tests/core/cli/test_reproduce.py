"""``reproduce``: exit codes, and where the new run goes."""

from ganrun import api
from ganrun.training import checkpoint


def trained(tiny, tmp_path):
    api.run(tiny(observers=["checkpoints"], train={"steps": 2}), output=tmp_path / "run")
    return tmp_path / "run"


def test_equal_checkpoints_exit_with_0_and_lie_beside_the_run(ganrun, tiny, tmp_path):
    code, out, _ = ganrun("reproduce", trained(tiny, tmp_path))
    assert code == 0
    assert out.splitlines()[0] == f"run: {tmp_path / 'run-again'}"
    assert out.splitlines()[-1] == "1 of 1 checkpoints compared, all equal"


def test_the_run_may_be_the_working_directory(ganrun, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(trained(tiny, tmp_path))
    code, out, _ = ganrun("reproduce", ".")
    assert code == 0
    assert out.splitlines()[0] == f"run: {tmp_path / 'run-again'}"


def test_a_difference_exits_with_1_and_says_whether_there_is_a_known_reason(ganrun, tiny, tmp_path):
    path = trained(tiny, tmp_path) / "checkpoints/step-0000002"
    state = checkpoint.read(path)[1]
    state["modules"]["generator"]["hidden.0.0.bias"] += 1
    checkpoint.write(path.parent, 2, state)
    code, out, _ = ganrun("reproduce", tmp_path / "run", "-o", tmp_path / "other")
    assert code == 1
    assert "1 of 1 checkpoints compared, not equal: 1; versions, threads, machine and data are the same" in out
    code, _, err = ganrun("reproduce", tmp_path / "run", "-o", tmp_path / "other")
    assert code == 2
    assert "holds a run" in err


def test_what_is_no_run_is_refused(ganrun, tmp_path):
    code, _, err = ganrun("reproduce", tmp_path)
    assert code == 2
    assert "holds no run" in err
