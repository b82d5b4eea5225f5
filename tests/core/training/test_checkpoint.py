"""Checkpoints are whole or absent, verified when read, and give back every bit."""

import json
import math

import pytest
import torch

from ganrun.training import checkpoint
from ganrun.training.checkpoint import CheckpointError


def tree():
    return {
        "step": 3,
        "nested": {
            "pool": [torch.arange(6.0).reshape(2, 3), None],
            "pair": (1, 0.1 + 0.2),
            "by number": {0: "a", 7: torch.ones(1)},
        },
        "view": torch.arange(12.0).reshape(3, 4).t(),
        "odd": {"inf": math.inf, "text": "é", "flag": True},
    }


def test_a_state_comes_back_bit_for_bit(tmp_path):
    path = checkpoint.write(tmp_path, 3, tree())
    step, state = checkpoint.read(path)
    assert step == 3
    assert torch.equal(state["view"], tree()["view"])
    assert torch.equal(state["nested"]["pool"][0], tree()["nested"]["pool"][0])
    assert state["nested"]["pool"][1] is None
    assert state["nested"]["pair"] == (1, 0.1 + 0.2)
    assert set(state["nested"]["by number"]) == {0, 7}
    assert state["odd"] == {"inf": math.inf, "text": "é", "flag": True}


def test_tensors_that_share_memory_are_stored_apart(tmp_path):
    shared = torch.zeros(4)
    _, state = checkpoint.read(checkpoint.write(tmp_path, 1, {"a": shared, "b": shared, "c": shared[:2]}))
    state["a"][0] = 5
    assert state["b"][0] == 0
    assert state["c"].shape == (2,)


def test_what_cannot_be_kept_is_named(tmp_path):
    with pytest.raises(TypeError, match="/pool/thing holds a object"):
        checkpoint.write(tmp_path, 1, {"pool": {"thing": object()}})


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_is_not_read(tmp_path, name, damage):
    path = checkpoint.write(tmp_path, 1, tree()) / name
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[data.index(b"{")] ^= 1  # the first character of a JSON text, or of the header of the tensors
        path.write_bytes(data)
    with pytest.raises(CheckpointError, match="step-0000001"):
        checkpoint.read(path.parent)


def test_the_newest_intact_checkpoint_is_found_and_damaged_ones_are_told(tmp_path):
    for step in (1, 2, 3):
        checkpoint.write(tmp_path, step, {"step": step})
    (tmp_path / "step-0000003" / "state.json").write_text("{}")
    (tmp_path / ".writing-0000004").mkdir()
    path, step, state, damaged = checkpoint.load_newest(tmp_path, lambda state: None)
    assert (path.name, step, state) == ("step-0000002", 2, {"step": 2})
    assert len(damaged) == 1
    assert "step-0000003" in damaged[0]


def test_no_checkpoint_at_all_says_how_to_start_again(tmp_path):
    with pytest.raises(CheckpointError, match="--overwrite"):
        checkpoint.load_newest(tmp_path, lambda state: None)


def test_pruning_keeps_the_newest_and_the_protected(tmp_path):
    for step in range(1, 7):
        checkpoint.write(tmp_path, step, {"step": step})
    checkpoint.prune(tmp_path, keep=2, protect={1})
    assert [step for step, _ in checkpoint.listing(tmp_path)] == [1, 5, 6]


def test_discarding_removes_later_and_unfinished_ones(tmp_path):
    for step in (1, 2, 3):
        checkpoint.write(tmp_path, step, {"step": step})
    (tmp_path / ".writing-0000009").mkdir()
    checkpoint.discard_after(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000001", "step-0000002"]


def test_there_is_no_pickle_in_a_checkpoint(tmp_path):
    path = checkpoint.write(tmp_path, 1, tree())
    assert sorted(file.name for file in path.iterdir()) == ["manifest.json", "state.json", "tensors.safetensors"]
    json.loads((path / "state.json").read_text())


@pytest.mark.parametrize("fused", [False, True])
def test_a_restored_adam_goes_on_bit_for_bit_beside_channels_last_weights(fused):
    def conv():
        torch.manual_seed(0)
        return torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)

    def train(module, optimizer, steps):
        for step in steps:
            optimizer.zero_grad()
            x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
            module(x).square().mean().backward()
            optimizer.step()

    straight, broken = conv(), conv()
    first, second = (
        torch.optim.Adam(straight.parameters(), fused=fused),
        torch.optim.Adam(broken.parameters(), fused=fused),
    )
    train(straight, first, range(6))
    train(broken, second, range(3))
    kept: dict[str, torch.Tensor] = {}
    state = checkpoint.unflatten(
        json.loads(json.dumps(checkpoint.flatten(checkpoint.optimizer_state(second), kept))), kept
    )
    third = torch.optim.Adam(broken.parameters(), fused=fused)
    checkpoint.restore_optimizer(third, state)
    train(broken, third, range(3, 6))
    for a, b in zip(straight.parameters(), broken.parameters()):
        assert torch.equal(a, b)
    assert all(s["exp_avg"].stride() == p.stride() for p, s in third.state.items())


def test_a_manifest_that_is_no_text_is_a_damaged_checkpoint(tmp_path):
    path = checkpoint.write(tmp_path, 1, tree())
    (path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        checkpoint.read(path)


def test_what_a_kill_left_of_a_file_that_safetensors_wrote_does_not_block_the_next_checkpoint(tmp_path):
    (tmp_path / ".writing-0000004").mkdir()
    (tmp_path / ".writing-0000004/.tmp0zriZl").write_bytes(b"half a file")
    path = checkpoint.write(tmp_path, 4, {"steps": 4})
    assert checkpoint.read(path) == (4, {"steps": 4})
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-0000004"]
