"""Mean and covariance in blocks, and without a part."""

import numpy as np
import pytest
import torch

from ganrun.errors import UserError
from ganrun.evaluation import statistics
from ganrun.evaluation.statistics import Statistics


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("block", [7, 64, 4096])
def test_blocks_give_numpys_unbiased_covariance(monkeypatch, block):
    monkeypatch.setattr(statistics, "BLOCK", block)
    x = normal(200, 5) + 100
    found = Statistics.of(x)
    np.testing.assert_allclose(found.mean.numpy(), x.double().numpy().mean(0), rtol=1e-13)
    np.testing.assert_allclose(
        found.covariance.numpy(), np.cov(x.double().numpy(), rowvar=False), rtol=1e-12, atol=1e-14
    )


def test_statistics_leave_their_input_alone_whatever_its_type():
    x = normal(20, 3).double()
    before = x.clone()
    Statistics.of(x)
    assert torch.equal(x, before)


def test_statistics_of_some_rows_are_those_of_these_rows_alone():
    x, rows = normal(50, 4), torch.tensor([3, 7, 7, 49])
    assert torch.equal(Statistics.of(x, rows).mean, Statistics.of(x[rows]).mean)
    assert torch.equal(Statistics.of(x, rows).covariance, Statistics.of(x[rows]).covariance)


@pytest.mark.parametrize("size", [1, 2, 30])
def test_leaving_out_a_part_is_having_the_rest(size):
    x = normal(50, 4) + 3
    left = Statistics.of(x).without(Statistics.of(x[:size]))
    rest = Statistics.of(x[size:])
    assert left.count == rest.count
    torch.testing.assert_close(left.mean, rest.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(left.covariance, rest.covariance, rtol=1e-10, atol=1e-12)


def test_the_root_squared_is_the_covariance_and_survives_a_file():
    found = Statistics.of(normal(100, 6))
    torch.testing.assert_close(found.root @ found.root, found.covariance, rtol=1e-12, atol=1e-12)
    again = Statistics.from_tensors(found.tensors())
    assert again.count == 100
    assert all(torch.equal(getattr(again, name), getattr(found, name)) for name in ("mean", "covariance", "root"))


def test_samples_that_are_not_finite_are_counted():
    x = normal(10, 3)
    x[2, 1] = torch.nan
    x[5, 0] = -torch.inf
    with pytest.raises(UserError, match="2 of the 10 samples"):
        Statistics.of(x)


def test_no_samples_have_no_statistics():
    with pytest.raises(UserError, match="at least one sample"):
        Statistics.of(torch.zeros(0, 3))
