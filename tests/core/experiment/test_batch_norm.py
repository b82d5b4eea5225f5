"""BatchNorm over all processes."""

import pytest
import torch
from torch import nn

from ganrun.experiment import batch_norm
from ganrun.experiment.batch_norm import over_all_processes, synchronise, synchronised


@pytest.fixture
def other(monkeypatch):
    """A function: the means that another process brings, in the order in which they are asked for."""

    def bring(*theirs):
        left = [torch.tensor(values, dtype=torch.float64) for values in theirs]
        monkeypatch.setattr(batch_norm, "mean_over_processes", lambda ours: (ours + left.pop(0)) / 2)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)

    return bring


def test_mean_and_variance_are_those_of_the_rows_of_all_processes(other):
    """Here 1 and 3, there 5 and 7: mean 4; the squares of -3, -1, 1, 3 have a mean of 5, and a sample variance of 20/3.

    The running statistics go a tenth of the way from 0 and 1.
    """
    norm = nn.BatchNorm1d(1, eps=0.0).double()
    assert synchronise(norm) == ""
    other([6.0], [(1 + 9) / 2])
    with over_all_processes(synchronised([norm])):
        y = norm(torch.tensor([[1.0], [3.0]], dtype=torch.float64))
    assert y.flatten().tolist() == pytest.approx([-3 / 5**0.5, -1 / 5**0.5])
    assert norm.running_mean.item() == pytest.approx(0.4)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 20 / 3)
    assert norm.num_batches_tracked.item() == 1


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(3), nn.BatchNorm2d(3, affine=False), nn.BatchNorm3d(3, momentum=None)]
)
def test_with_one_process_it_is_torchs_layer_with_its_gradient(layer, monkeypatch):
    monkeypatch.setattr(batch_norm, "mean_over_processes", lambda ours: ours)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    shape = (4, 3, *[2] * {"1": 0, "2": 2, "3": 3}[type(layer).__name__[-2]])
    ours = type(layer)(3, affine=layer.affine, momentum=layer.momentum).double()
    theirs = layer.double()
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    assert synchronise(ours) == ""
    assert isinstance(ours, type(layer)), "whoever looks for torch's layer finds it"
    for norm in (ours, theirs):
        given = x.clone().requires_grad_()
        with over_all_processes(synchronised([ours])):
            for _ in range(2):
                y = norm(given)
        (slope,) = torch.autograd.grad((y**3).sum(), given, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), given)
        found.append([y, slope, second, norm.running_mean, norm.running_var])
    for one, two in zip(*found, strict=True):
        assert torch.allclose(one, two, rtol=0, atol=1e-9)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_outside_a_step_no_other_process_is_asked(monkeypatch):
    norm = nn.BatchNorm2d(2)
    synchronise(norm)
    monkeypatch.setattr(batch_norm, "mean_over_processes", lambda ours: pytest.fail("nobody answers"))
    assert norm(torch.ones(2, 2, 1, 1)).shape == (2, 2, 1, 1)
    with over_all_processes([norm]):
        norm.eval()
        norm(torch.ones(2, 2, 1, 1))
