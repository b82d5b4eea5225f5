"""The front door for plugins: everything that a plugin may import from ganrun, but for data sets and evaluators.

``ganrun.plugin.data`` holds what data sets need, ``ganrun.plugin.evaluation`` what evaluators and feature extractors need.
``__all__`` is the promise: a name in it stays for at least one release after a warning says that it will go (see
docs/plugins/index.md). Everything else in ganrun may change at any time.

Importing this module costs little more than ``import torch``: what is slow to import is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganrun import checkpoint, lines
from ganrun.calls import own_buffers
from ganrun.errors import UserError
from ganrun.game import (
    Call,
    Description,
    DiscriminatorOutput,
    Game,
    Network,
    Phase,
    Player,
    Role,
    Round,
    Side,
    Stream,
    Term,
    Turn,
)
from ganrun.hookspecs import Component, hookimpl
from ganrun.initialisation import initialise
from ganrun.interfaces import example_inputs
from ganrun.protocols import (
    Because,
    Discriminator,
    Evaluator,
    Features,
    Generator,
    Interface,
    Loss,
    Observer,
    Optimizer,
    PartOf,
    Refusal,
    Sampler,
    Space,
    Trick,
    Variant,
)
from ganrun.randomness import Draws, stable_hash
from ganrun.refusals import Refused
from ganrun.rounds import send
from ganrun.sampling import PHASE, Sampling, chunks
from ganrun.schedule import Clock, Duration, Scheduled

if TYPE_CHECKING:
    from ganrun.build import Experiment, Plan, init_of
    from ganrun.capabilities import provided_by
    from ganrun.measuring import due
    from ganrun.processes import Agreement, Processes
    from ganrun.recipe import Part
    from ganrun.remedies import remedies_for
    from ganrun.training import Run, datasets

_SLOW = {
    "Agreement": "ganrun.processes",
    "Experiment": "ganrun.build",
    "Part": "ganrun.recipe",
    "Plan": "ganrun.build",
    "Processes": "ganrun.processes",
    "Run": "ganrun.training",
    "datasets": "ganrun.training",
    "due": "ganrun.measuring",
    "init_of": "ganrun.build",
    "provided_by": "ganrun.capabilities",
    "remedies_for": "ganrun.remedies",
}


def __getattr__(name: str) -> Any:
    """Import what is slow when it is first asked for."""
    if name in _SLOW:
        return getattr(import_module(_SLOW[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "PHASE",
    "Agreement",
    "Because",
    "Call",
    "Clock",
    "Component",
    "Description",
    "Discriminator",
    "DiscriminatorOutput",
    "Draws",
    "Duration",
    "Evaluator",
    "Experiment",
    "Features",
    "Game",
    "Generator",
    "Interface",
    "Loss",
    "Network",
    "Observer",
    "Optimizer",
    "Part",
    "PartOf",
    "Phase",
    "Plan",
    "Player",
    "Processes",
    "Refusal",
    "Refused",
    "Role",
    "Round",
    "Run",
    "Sampler",
    "Sampling",
    "Scheduled",
    "Side",
    "Space",
    "Stream",
    "Term",
    "Trick",
    "Turn",
    "UserError",
    "Variant",
    "checkpoint",
    "chunks",
    "datasets",
    "due",
    "example_inputs",
    "hookimpl",
    "init_of",
    "initialise",
    "lines",
    "own_buffers",
    "provided_by",
    "remedies_for",
    "send",
    "stable_hash",
]
