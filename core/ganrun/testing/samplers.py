"""What a sampler has to keep."""

from __future__ import annotations

import torch

from ganrun.randomness import Draws
from ganrun.testing.conditions import when
from ganrun.testing.plugin import Plugin
from ganrun.words.spaces import Space

_SPACES = (Space("latent", (5,)), Space("latent", (2, 3)))
LABELS = (Space("labels", (), 7), Space("labels", (3,), 2))


def draws_labels(plugin: Plugin) -> bool:
    """Whether it draws labels, too."""
    return hasattr(plugin.factory, "labels")


def check_shape(plugin: Plugin) -> None:
    """n rows of the space's shape, finite floats."""
    for space in _SPACES:
        z = plugin.part.make().sample(Draws(("check",)), "z", 6, space)
        assert tuple(z.shape) == (6, *space.shape), f"{space}: {tuple(z.shape)} instead of {(6, *space.shape)}"
        assert z.is_floating_point() and bool(z.isfinite().all()), "latents must be finite floats"


def check_depends_on_the_key_alone(plugin: Plugin) -> None:
    """The same key gives the same latents, whatever was drawn before; another key gives others."""
    space = _SPACES[0]
    first = plugin.part.make().sample(Draws(("check", 0)), "z", 6, space)
    torch.randn(7)
    sampler = plugin.part.make()
    other = sampler.sample(Draws(("check", 1)), "z", 6, space)
    assert torch.equal(first, sampler.sample(Draws(("check", 0)), "z", 6, space)), (
        "the same key gives other latents; draw with `draws` alone"
    )
    assert not torch.equal(first, other), "two keys give the same latents"


def check_processes_share_one_draw(plugin: Plugin) -> None:
    """Two processes with 4 rows each draw what one draws with 8."""
    for space in _SPACES:
        whole = plugin.part.make().sample(Draws(("check",)), "z", 8, space)
        halves = [plugin.part.make().sample(Draws(("check",), part, 2), "z", 4, space) for part in range(2)]
        assert torch.equal(whole, torch.cat(halves)), (
            "the rows of two processes differ from those of one: draw with `draws`, row by row"
        )


def check_a_purpose_used_twice_differs(plugin: Plugin) -> None:
    """A second draw in one turn gives other latents."""
    draws, sampler = Draws(("check",)), plugin.part.make()
    first, second = (sampler.sample(draws, "z", 6, _SPACES[0]) for _ in range(2))
    assert not torch.equal(first, second), "a second draw of the same purpose gives the same latents"


@when(draws_labels)
def check_labels(plugin: Plugin) -> None:
    """``labels``: n rows of the space's shape, int64 from 0 to classes - 1, of the key alone, row by row."""
    for space in LABELS:
        found = plugin.part.make().labels(Draws(("check",)), "label", 8, space)
        assert tuple(found.shape) == (8, *space.shape), f"{space}: {tuple(found.shape)} instead of {(8, *space.shape)}"
        assert found.dtype == torch.int64, f"labels are int64, not {found.dtype}"
        assert 0 <= int(found.min()) <= int(found.max()) < space.classes, "labels outside 0..classes - 1"
        halves = [plugin.part.make().labels(Draws(("check",), part, 2), "label", 4, space) for part in range(2)]
        assert torch.equal(found, torch.cat(halves)), (
            "the rows of two processes differ from those of one: draw with `draws`, row by row"
        )
