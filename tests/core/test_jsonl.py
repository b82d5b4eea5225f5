"""Files of JSON lines."""

import pytest

from ganrun import jsonl
from ganrun.evaluation.provenance import FILE


def test_a_resumed_run_keeps_no_score_of_a_step_that_it_takes_again(tmp_path):
    for step in (10, 20, 30):
        jsonl.append(tmp_path / FILE, {"step": step})
    (tmp_path / FILE).open("a").write('{"step": 4')
    jsonl.truncate(tmp_path / FILE, 20)
    assert [line["step"] for line in jsonl.read(tmp_path / FILE)] == [10, 20]


def test_a_line_after_a_torn_one_is_whole_and_the_loss_is_said(tmp_path):
    (tmp_path / FILE).write_text('{"step": 10}\n{"step": 20, "scores": {"x"')
    with pytest.warns(UserWarning, match=r"evaluations\.jsonl: its last line was torn .* it is removed"):
        jsonl.append(tmp_path / FILE, {"step": 30})
    assert (tmp_path / FILE).read_text() == '{"step": 10}\n{"step": 30}\n'


def test_a_whole_last_line_that_lacks_its_end_is_kept(tmp_path, recwarn):
    (tmp_path / FILE).write_text('{"step": 10}')
    jsonl.append(tmp_path / FILE, {"step": 20})
    assert (tmp_path / FILE).read_text() == '{"step": 10}\n{"step": 20}\n'
    assert not recwarn.list


def test_a_torn_line_that_is_the_only_one_goes(tmp_path):
    (tmp_path / FILE).write_text('{"st')
    with pytest.warns(UserWarning, match="torn"):
        jsonl.append(tmp_path / FILE, {"step": 1})
    assert jsonl.read(tmp_path / FILE) == [{"step": 1}]


def test_a_whole_last_line_that_lacks_its_end_survives_a_resume(tmp_path):
    (tmp_path / FILE).write_text('{"step": 10}\n{"step": 20}')
    jsonl.truncate(tmp_path / FILE, 20)
    assert (tmp_path / FILE).read_text() == '{"step": 10}\n{"step": 20}\n'
