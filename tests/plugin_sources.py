"""Sources of plugins for tests, what is left out being the body of a class, and how an installed one is listed."""

from collections.abc import Callable
from pathlib import Path

from ganrun.catalog.catalog import Catalog, Entry

Install = Callable[..., Path]

TRICK = """\
"A mistake."
import torch
from ganrun.plugin import Component, hookimpl
class Mine:
    "It is wrong."
    strength = ""
{body}
@hookimpl
def ganrun_components():
    yield Component("trick", "mine", Mine)
"""
LOSS = """\
"A mistake."
import torch
from ganrun.plugin import Component, hookimpl
class Mine:
    "It is wrong."
    provides = frozenset()
    real_in_generator = False
    def discriminator(self, round): return {{s: s.logits for s in round.streams}}
    def generator(self, round): return {{s: -s.logits for s in round.of("fake")}}
{body}
@hookimpl
def ganrun_components():
    yield Component("loss", "mine", Mine)
"""
SAMPLER = """\
"A mistake."
import torch
from ganrun.plugin import Component, hookimpl
class Mine:
    "It is wrong."
{body}
@hookimpl
def ganrun_components():
    yield Component("sampler", "mine", Mine)
"""
NETWORK = """\
"A mistake."
import torch
from ganrun.plugin import Component, DiscriminatorOutput, hookimpl
class Mine(torch.nn.Module):
    "It is wrong."
    takes = frozenset({{"latent", "points"}})
    makes = frozenset({{"points"}})
    def __init__(self, interface):
        super().__init__()
        self.layer = torch.nn.Linear(interface.takes.size, interface.makes.size if interface.makes else 1)
{body}
@hookimpl
def ganrun_components():
    yield Component("{kind}", "mine", Mine)
"""


def event(name, line, arguments="turn"):
    return f"    @hookimpl\n    def {name}(self, {arguments}):\n        {line}"


GOOD = '''\
"""A loss that does nothing.

More about it.
"""
from ganrun.plugin import Component, hookimpl


class Nothing:
    def __init__(self, *, a: float = 1.0) -> None:
        self.a = a


@hookimpl
def ganrun_components():
    yield Component("loss", "{name}", Nothing)
'''


def entry_of(catalog: Catalog, qualified: str) -> Entry:
    """The listed entry of this name."""
    (entry,) = [entry for entry in catalog.entries() if entry.qualified == qualified]
    return entry
