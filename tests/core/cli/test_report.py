"""``ganrun report``: a page of a run."""


def test_the_page_goes_into_the_run_or_where_it_is_told(ganrun, runs, tmp_path):
    code, out, err = ganrun("report", runs / "images")
    assert (code, out, err) == (0, f"{runs / 'images/report.html'}\n", "")
    assert (runs / "images/report.html").read_text().startswith("<!DOCTYPE html>")
    code, out, _ = ganrun("report", runs / "points", "-o", tmp_path / "new/page.html")
    assert (code, out) == (0, f"{tmp_path / 'new/page.html'}\n")


def test_what_is_no_run_is_refused(ganrun, tmp_path):
    code, _, err = ganrun("report", tmp_path)
    assert code == 2
    assert "holds no run" in err
