"""The order of items: a permutation that is kept, a bijection that is computed, or the order of the data set."""

import tracemalloc

import numpy as np
import pytest
import torch
from numbered_data import Streamed, drain, points

from ganrun.data import order
from ganrun.data.order import Bijection, Computed, Permuted, Sequential, order_of, permutation, sample_rows, subset
from ganrun.data.reader import Reader
from ganrun.errors import DataError

CPU = torch.device("cpu")
BILLION = 10**9


def test_the_permutation_is_fixed_for_good():
    assert permutation(8, "a", 1).tolist() == permutation(8, "a", 1).tolist()
    assert permutation(10, "fixed").tolist() == FIXED
    assert permutation(1, "a").tolist() == [0]


FIXED = [8, 2, 9, 6, 0, 7, 3, 5, 4, 1]


LENGTHS = [1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 99, 100, 101, 1000, 4095, 4096, 4097, 65_536, 65_537, 100_003]


@pytest.mark.parametrize("n", LENGTHS)
def test_the_bijection_hits_every_number_once(n):
    for key in range(3):
        assert np.array_equal(np.sort(Bijection(n, key)(np.arange(n))), np.arange(n))


@pytest.mark.parametrize("n", [BILLION, 10**12 + 39, 2**63 - 1])
def test_the_bijection_of_a_huge_length_stays_inside_and_hits_nothing_twice(n):
    found = Bijection(n, "huge")(np.concatenate([np.arange(50_000), n - 1 - np.arange(50_000)]))
    assert found.min() >= 0
    assert found.max() < n
    assert len(np.unique(found)) == 100_000


def test_the_bijection_is_fixed_for_good():
    assert Bijection(10, "fixed")(np.arange(10)).tolist() == FIXED_BIJECTION
    assert Bijection(BILLION, "fixed")(np.arange(4)).tolist() == FIXED_OF_A_BILLION


FIXED_BIJECTION = [0, 9, 3, 8, 5, 6, 4, 2, 7, 1]
FIXED_OF_A_BILLION = [67873811, 519925681, 134690515, 168097620]


def test_a_number_that_falls_outside_goes_through_the_network_again():
    """Three numbers in a rectangle of 2 x 2 cells: a key sends one of them outside, or the cell outside to itself."""
    again = 0
    for key in range(50):
        bijection = Bijection(3, key)
        again += int((bijection._once(np.arange(3, dtype=np.uint64)) == 3).any())
        assert sorted(bijection(np.arange(3)).tolist()) == [0, 1, 2]
    assert 0 < again < 50


@pytest.mark.parametrize("n", [order.SMALL, BILLION])
def test_an_item_lies_at_any_place_over_the_keys_and_two_items_apart(n):
    """6,400 keys: the items at places 0 and 1, and their distance modulo n, over 64 equal parts; 63 degrees each."""
    first, second = np.array([Bijection(n, key)(np.arange(2)) for key in range(6400)]).T
    for found in (first, second, (first - second) % n):
        counts = np.bincount(found * 64 // n, minlength=64)
        assert ((counts - 100) ** 2 / 100).sum() < 63 + 6 * (2 * 63) ** 0.5


def standard(x):
    return (x - x.mean()) / x.std()


@pytest.mark.parametrize("n", [100_003, BILLION])
def test_neighbours_in_the_order_are_not_neighbours_in_the_data(n):
    """Serial correlation at lags 1, 2, 3 and at the side of the rectangle, where a weak network would show its rows."""
    count = 100_000
    x = standard(Bijection(n, "serial")(np.arange(count)).astype(np.float64))
    for lag in (1, 2, 3, int(n**0.5), int(n**0.5) + 1):
        assert abs(np.mean(x[:-lag] * x[lag:])) < 5 / (count - lag) ** 0.5, lag


@pytest.mark.parametrize("n", [100_003, BILLION])
def test_items_are_spread_evenly_over_any_part_of_an_epoch(n):
    """The first, a middle and the last 64,000 places: chi-squared over 64 equal parts of the data, 63 degrees."""
    for first in (0, n // 2 - 32_000, n - 64_000):
        parts = Bijection(n, "spread")(np.arange(first, first + 64_000)) * 64 // n
        counts = np.bincount(parts, minlength=64)
        assert ((counts - 1000) ** 2 / 1000).sum() < 63 + 6 * (2 * 63) ** 0.5


def test_low_digits_are_as_even_as_high_ones():
    counts = np.bincount(Bijection(BILLION, "digits")(np.arange(64_000)) % 64, minlength=64)
    assert ((counts - 1000) ** 2 / 1000).sum() < 63 + 6 * (2 * 63) ** 0.5


def test_epochs_and_keys_have_orders_of_their_own():
    """Two independent orders agree in one place on average, and are not correlated."""
    one, other, key = (
        Bijection(100_003, *k)(np.arange(100_003)) for k in ((0, "order", 0), (0, "order", 1), (1, "order", 0))
    )
    for pair in ((one, other), (one, key)):
        assert (pair[0] == pair[1]).sum() < 8
        assert abs(np.mean(standard(pair[0]) * standard(pair[1]))) < 5 / 100_003**0.5


# --- which order a data set has ---------------------------------------------------------------------------------


def kind(length, asked):
    return type(order_of(Streamed(length, order=asked), (0,), CPU))


def test_a_permutation_is_kept_below_the_stated_length_only():
    assert kind(order.LARGE - 1, "shuffled") is Permuted
    assert kind(order.LARGE, "shuffled") is Computed
    assert kind(order.SMALL - 1, "computed") is Permuted
    assert kind(order.SMALL, "computed") is Computed
    assert {kind(n, "sequential") for n in (10, BILLION)} == {Sequential}


def test_a_data_set_that_says_nothing_is_shuffled():
    class Silent:
        def __len__(self):
            return 4

    assert type(order_of(Silent(), (), CPU)) is Permuted


def test_an_order_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="Streamed.order is 'sorted'; it can be shuffled, computed, sequential"):
        kind(10, "sorted")


def test_items_come_in_their_order_again_and_again():
    read = drain(Reader(points(6, "sequential"), (7,), batch_rows=4), 4).flatten().long()
    assert read.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3]


def test_random_numbers_of_an_item_change_with_the_epoch_in_any_order():
    for asked in order.ORDERS:
        read = drain(Reader(Streamed(4, order=asked), (7,), batch_rows=4), 2)
        first, second = (epoch[epoch[:, 0].argsort()][:, 1] for epoch in (read[:4], read[4:]))
        assert not (first == second).any(), asked


# --- samples of scores --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [7, 1000, order.SMALL + 1])
def test_samples_are_all_items_in_an_order_of_the_length_alone(length):
    one, other = (sample_rows(Streamed(length), np.arange(length)) for _ in range(2))
    assert np.array_equal(one, other)
    assert np.array_equal(np.sort(one), np.arange(length))
    assert np.array_equal(one[:5], sample_rows(Streamed(length), range(5)))


def test_the_first_samples_are_spread_over_all_items():
    """The mean of 500 of a million numbers, evenly spread over [0, 1): 1/2 within five of their standard errors."""
    mean = sample_rows(Streamed(10**6), np.arange(500)).mean() / 10**6
    assert abs(mean - 0.5) < 5 * (1 / 12 / 500) ** 0.5


def test_sequential_data_are_sampled_as_they_are_numbered():
    assert sample_rows(Streamed(BILLION, order="sequential"), [3, 4]).tolist() == [3, 4]


# --- the guarantees that hold in every order --------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["shuffled", "sequential"])
def test_an_epoch_holds_every_item_once(asked):
    read = drain(Reader(points(12, asked), (0, "D"), batch_rows=4), 6).flatten().long()
    assert sorted(read[:12].tolist()) == sorted(read[12:].tolist()) == list(range(12))


@pytest.mark.parametrize(("asked", "length"), [("sequential", 10), ("sequential", BILLION), ("shuffled", BILLION)])
def test_position_workers_and_parts_change_nothing(asked, length):
    """Resumed behind the second batch of 4, read by two workers, in two parts: the same samples and random numbers."""
    expected = drain(Reader(Streamed(length, order=asked), (0, "x"), batch_rows=4), 12)
    reader = Reader(Streamed(length, order=asked), (0, "x"), batch_rows=4, workers=2)
    reader.position = 8
    try:
        assert torch.equal(drain(reader, 10), expected[8:])
        reader.position = 4
        assert torch.equal(drain(reader, 6, rows=2, parts=2), expected[4:28])
    finally:
        reader.close()


def test_a_computed_epoch_holds_every_item_once():
    read = order_of(Streamed(order.SMALL, order="computed"), (0,), CPU)
    found = np.concatenate([read.items(start, 4096)[0].numpy() for start in range(0, order.SMALL, 4096)])
    assert np.array_equal(np.sort(found), np.arange(order.SMALL))


def test_a_batch_is_the_same_whichever_was_read_before():
    """Blocks that are computed ahead: a batch within one, across its end, longer than one, and back before it."""
    read = order_of(Streamed(BILLION), (0,), CPU)
    for start, count in ((0, 64), (64, 64), (4090, 64), (10, 5000), (3, 2)):
        found, draws = read.items(start, count)
        epochs, indices = order_of(Streamed(BILLION), (0,), CPU).arrays(start, count)
        assert found.tolist() == indices.tolist() == draws.indices.tolist()
        assert draws.epochs.tolist() == epochs.tolist()


def test_the_end_of_a_long_epoch_joins_the_next():
    """10^9 items: the last two of epoch 0, then the first two of epoch 1."""
    found = order_of(Streamed(BILLION), (3,), CPU).items(BILLION - 2, 4)[0].numpy()
    epochs = [Bijection(BILLION, 3, "order", epoch) for epoch in (0, 1)]
    assert found.tolist() == [*epochs[0](np.array([BILLION - 2, BILLION - 1])), *epochs[1](np.array([0, 1]))]


def test_a_billion_items_start_at_once():
    """One batch of 64 is read with less than a megabyte: a bit an item would be 125 of them."""
    tracemalloc.start()
    reader = Reader(Streamed(BILLION), (0,), batch_rows=64)
    found = reader.get(64)["x"][:, 0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert len(found.unique()) == 64
    assert found.max() > BILLION // 2


# --- a part of the items ----------------------------------------------------------------------------------------


def test_a_subset_is_the_beginning_of_the_permutation():
    assert subset(100, 7, "a").tolist() == permutation(100, "a")[:7].tolist()
    assert sorted(subset(5, 7, "a").tolist()) == [0, 1, 2, 3, 4]


def test_a_subset_of_a_billion_is_computed():
    tracemalloc.start()
    found = subset(BILLION, 1000, "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert len(np.unique(found)) == 1000
    assert found.max() < BILLION
