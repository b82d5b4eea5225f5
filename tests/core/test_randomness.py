"""Randomness is a function of a key, never of history."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from ganrun.randomness import Draws, ItemDraws, seeded, stable_hash

KEY = (0, 0, 17, "discriminator", 0)


def test_the_hash_is_the_same_in_every_process():
    code = "from ganrun.randomness import stable_hash; print(stable_hash(0, 'generator', 1.5))"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "77"}
    )
    assert int(other.stdout) == stable_hash(0, "generator", 1.5)


def same_low_bits() -> tuple[int, int]:
    """Two different numbers of 63 bits whose last 32 bits are the same."""
    return 5, 5 + 2**40


def test_torchs_own_seeds_collide_on_a_cpu():
    """Why there is ``seeded``: torch keeps 32 bits of a seed. If this fails, torch has changed, and it may go."""
    one, other = (torch.Generator().manual_seed(seed) for seed in same_low_bits())
    assert torch.equal(torch.rand(4, generator=one), torch.rand(4, generator=other))


def test_keys_of_which_torch_would_keep_the_same_bits_draw_other_numbers():
    one, other = (seeded(torch.Generator(), seed) for seed in same_low_bits())
    assert not torch.equal(torch.rand(4, generator=one), torch.rand(4, generator=other))


def test_the_steps_of_a_long_run_begin_with_different_numbers():
    """Of 400,000 steps 21 pairs shared their draws. Two of 20,000 numbers of 53 bits are equal once in 50 million."""
    first = {
        torch.rand((), dtype=torch.float64, generator=Draws((0, 0, step, "discriminator", 0)).generator("z")).item()
        for step in range(20_000)
    }
    assert len(first) == 20_000


def test_a_key_fills_the_whole_state_with_its_hash_and_torch_draws_what_that_state_says():
    """The numbers of numpy's Mersenne Twister with the 624 words of the hash as its state."""
    words = np.frombuffer(hashlib.shake_128(b"(3, 'z')").digest(4 * 624), "<u4")
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": 624}}
    expected = twister.random_raw(700) % 1000
    drawn = torch.randint(1000, (700,), generator=seeded(torch.Generator(), 3, "z"))
    assert drawn.tolist() == expected.tolist()


def test_a_generator_that_keeps_long_seeds_is_given_all_bits_of_the_hash():
    """As that of a CUDA device."""

    class Generator:
        device, seeds = torch.device("cuda"), []

        def manual_seed(self, seed):
            self.seeds.append(seed)
            return self

    seeded(Generator(), "a")
    assert Generator.seeds == [stable_hash("a")]
    assert stable_hash("a") >= 2**32


def test_a_seeded_generator_has_forgotten_what_it_drew():
    used = torch.Generator().manual_seed(7)
    torch.randn(3, generator=used)  # torch keeps the second number of a pair for the next call
    assert torch.equal(
        torch.randn(5, generator=seeded(used, "key")), torch.randn(5, generator=seeded(torch.Generator(), "key"))
    )


def test_a_draw_does_not_depend_on_other_draws():
    lonely = Draws(KEY).normal("z", 4, 3)
    busy = Draws(KEY)
    busy.uniform("noise", 100)
    torch.randn(7)
    assert torch.equal(busy.normal("z", 4, 3), lonely)


def test_a_purpose_used_twice_draws_other_numbers_the_second_time():
    draws = Draws(KEY)
    assert not torch.equal(draws.normal("z", 4), draws.normal("z", 4))


@pytest.mark.parametrize(
    "change",
    [
        (1, 0, 17, "discriminator", 0),
        (0, 1, 17, "discriminator", 0),
        (0, 0, 18, "discriminator", 0),
        (0, 0, 17, "generator", 0),
    ],
)
def test_every_part_of_the_key_changes_the_draw(change):
    assert not torch.equal(Draws(KEY).normal("z", 4), Draws(change).normal("z", 4))


@pytest.mark.parametrize("method", ["normal", "uniform", "integers"])
def test_two_processes_draw_the_halves_of_what_one_draws(method):
    extra = (10,) if method == "integers" else ()

    def draw(n, part, parts):
        return getattr(Draws(KEY, part, parts), method)("z", *extra, n, 3)

    whole = draw(8, 0, 1)
    halves = torch.cat([draw(4, 0, 2), draw(4, 1, 2)])
    assert torch.equal(whole, halves)


def test_a_permutation_is_shared_by_all_processes():
    assert torch.equal(Draws(KEY, 0, 2).permutation("order", 9), Draws(KEY, 1, 2).permutation("order", 9))


def test_an_item_draws_the_same_in_every_batch():
    epochs, indices = np.array([0, 0, 1]), np.array([5, 6, 5])
    together = ItemDraws(("data",), epochs, indices).uniform("crop", 2)
    alone = ItemDraws(("data",), epochs[1:2], indices[1:2]).uniform("crop", 2)
    assert np.array_equal(together[1:2], alone)
    assert not np.array_equal(together[0], together[2]), "another epoch, another crop"


def test_item_draws_are_uniform_and_independent_of_their_purpose():
    draws = ItemDraws(("data",), np.zeros(20_000, np.int64), np.arange(20_000))
    crop, flip = draws.uniform("crop")[:, 0], draws.uniform("flip")[:, 0]
    assert abs(crop.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(crop, flip)[0, 1]) < 0.03
    counts = np.bincount(draws.integers("side", 4), minlength=4) / 20_000
    assert np.allclose(counts, 0.25, atol=0.02)


@pytest.mark.parametrize("shape", [(), (3,), (100,)])
def test_by_row_a_row_does_not_depend_on_how_many_there_are(shape):
    """Torch alone draws other numbers where the count is not divisible by 16: fewer than 16 altogether, and the last
    16.
    """
    many = Draws(("sampling",), by_row=True).normal("z", 40, *shape)
    for n in (1, 3, 16, 17, 39):
        assert torch.equal(Draws(("sampling",), by_row=True).normal("z", n, *shape), many[:n])


def test_by_row_draws_what_training_draws_where_torch_does_not_differ():
    assert torch.equal(Draws(("sampling",), by_row=True).normal("z", 32, 3), Draws(("sampling",)).normal("z", 32, 3))
