"""``ganrun diff``: what differs between the recipes of two runs."""


def test_diff_tells_what_differs(ganrun, runs, tmp_path):
    code, out, _ = ganrun("diff", runs / "points", runs / "images")
    assert code == 0
    assert "- dataset.ring.count: 64" in out
    assert "+ dataset.digits.size: 8" in out
    assert "variant" not in out
    assert ganrun("diff", runs / "points", runs / "points")[1] == "the recipes are the same\n"


def test_a_run_that_is_not_there_is_plain_and_ends_with_2(ganrun, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = ganrun("diff", runs / "points", "nowhere")
    assert code == 2
    assert "nowhere" in err
    assert "Traceback" not in err
