"""Files of weights: what is no state dict is refused with what it holds."""

import os
import pickle

import pytest
import torch

from ganrun.errors import UserError
from ganrun.training.weight_files import read_weights


class Harmful:
    """Something that torch does not open as weights."""

    def __reduce__(self):
        return print, ("code was run",)


def test_a_file_that_would_run_code_is_refused_unopened(tmp_path, capsys):
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"weight": Harmful()}, protocol=2))
    torch.save({"weight": Harmful()}, tmp_path / "b.pth")
    for name in ("a.pth", "b.pth"):
        with pytest.raises(
            UserError, match="holds more than tensors, and opening it would run code|is no file of weights"
        ):
            read_weights(tmp_path / name)
    assert capsys.readouterr().out == ""


def test_state_dicts_are_found_inside_checkpoints_and_other_files_are_told_apart(tmp_path):
    torch.save({"epoch": 3, "state_dict": {"weight": torch.ones(2)}}, tmp_path / "a.pth")
    assert torch.equal(read_weights(tmp_path / "a.pth")["weight"], torch.ones(2))
    torch.save([1, 2], tmp_path / "b.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        read_weights(tmp_path / "b.pth")
    (tmp_path / "c.pth").write_text("not weights")
    with pytest.raises(UserError, match=r"c\.pth"):
        read_weights(tmp_path / "c.pth")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_weights(tmp_path / "missing.pth")


def test_a_web_page_saved_as_weights_is_not_said_to_run_code(tmp_path):
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    with pytest.raises(UserError, match=r"page\.pth is no file of weights, perhaps a web page"):
        read_weights(tmp_path / "page.pth")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"g": {"w": torch.ones(1)}, "g_ema": {"w": torch.ones(1)}}, r"several things: g, g_ema; .*\['g'\]"),
        ({0: torch.ones(1), 1: torch.ones(1)}, "under numbers or other keys, 0, 1, where a state dict has names"),
        ({("a", 1): torch.ones(1)}, "under numbers or other keys"),
        ({"w": torch.ones(1), "epoch": 3}, "no state dict: epoch are no tensors"),
        ({}, "holds no state dict"),
        ([torch.ones(1)], "holds no state dict"),
    ],
)
def test_a_file_that_is_no_state_dict_is_refused_with_what_it_holds(tmp_path, content, why):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=why):
        read_weights(tmp_path / "x.pth")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.pth")
    with pytest.raises(UserError, match="no file of weights, but a folder, a pipe or a device"):
        read_weights(tmp_path / "x.pth")
