"""The front door for plugins: everything that a plugin may import from ganrun, but for data sets and evaluators.

``ganrun.plugin.data`` holds what data sets need, ``ganrun.plugin.evaluation`` what evaluators and feature extractors
need. ``__all__`` is the promise: a name in it stays for at least one release after a warning says that it will go (see
docs/plugins/index.md). Everything else in ganrun may change at any time.

Importing this module costs little more than ``import torch``: what is slow to import is imported when it is first asked
for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganrun.contracts.protocols import (
    Discriminator,
    Evaluator,
    Features,
    Generator,
    Loss,
    Observer,
    Optimizer,
    Sampler,
    Trick,
    Variant,
)
from ganrun.engine.step import Step
from ganrun.engine.turn import Turn
from ganrun.errors import UserError
from ganrun.experiment.shapes import hidden_shapes
from ganrun.randomness import Draws, seeded, stable_hash
from ganrun.sampling.sampling import Sampling
from ganrun.sampling.turn import SamplingTurn
from ganrun.schedule import Clock, Duration, Scheduled, first_value
from ganrun.words.finding import Finding
from ganrun.words.game import (
    Call,
    Description,
    DiscriminatorOutput,
    Game,
    Layers,
    Network,
    Phase,
    Player,
    Role,
    Round,
    Side,
    Stream,
    Term,
)
from ganrun.words.hooks import Component, hookimpl
from ganrun.words.spaces import Interface, PartOf, Reason, RecipePath, Refusal, Space

if TYPE_CHECKING:
    from ganrun.experiment.experiment import Experiment, Plan
    from ganrun.recipe import Part
    from ganrun.training.every import Every
    from ganrun.training.run import Run

_SLOW = {
    "Every": "ganrun.training.every",
    "Experiment": "ganrun.experiment.experiment",
    "Part": "ganrun.recipe",
    "Plan": "ganrun.experiment.experiment",
    "Run": "ganrun.training.run",
}


def __getattr__(name: str) -> Any:
    """Import what is slow when it is first asked for."""
    if name in _SLOW:
        return getattr(import_module(_SLOW[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Call",
    "Clock",
    "Component",
    "Description",
    "Discriminator",
    "DiscriminatorOutput",
    "Draws",
    "Duration",
    "Evaluator",
    "Every",
    "Experiment",
    "Features",
    "Finding",
    "Game",
    "Generator",
    "Interface",
    "Layers",
    "Loss",
    "Network",
    "Observer",
    "Optimizer",
    "Part",
    "PartOf",
    "Phase",
    "Plan",
    "Player",
    "Reason",
    "RecipePath",
    "Refusal",
    "Role",
    "Round",
    "Run",
    "Sampler",
    "Sampling",
    "SamplingTurn",
    "Scheduled",
    "Side",
    "Space",
    "Step",
    "Stream",
    "Term",
    "Trick",
    "Turn",
    "UserError",
    "Variant",
    "first_value",
    "hidden_shapes",
    "hookimpl",
    "seeded",
    "stable_hash",
]
