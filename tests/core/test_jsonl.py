"""Files of JSON lines."""

from ganrun import jsonl
from ganrun.evaluation.provenance import FILE


def test_a_resumed_run_keeps_no_score_of_a_step_that_it_takes_again(tmp_path):
    for step in (10, 20, 30):
        jsonl.append(tmp_path / FILE, {"step": step})
    (tmp_path / FILE).open("a").write('{"step": 4')
    jsonl.truncate(tmp_path / FILE, 20)
    assert [line["step"] for line in jsonl.read(tmp_path / FILE)] == [10, 20]
