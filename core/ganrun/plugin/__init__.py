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

from ganrun import jsonl
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
from ganrun.experiment.diagnostics import Diagnostic
from ganrun.experiment.example_inputs import example_inputs
from ganrun.experiment.initialise import initialise
from ganrun.randomness import Draws, stable_hash
from ganrun.sampling.sampling import Sampling, chunks
from ganrun.schedule import Clock, Duration, Scheduled, first_value
from ganrun.training import checkpoint
from ganrun.words.finding import Finding
from ganrun.words.game import (
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
)
from ganrun.words.hooks import Component, hookimpl
from ganrun.words.spaces import Interface, PartOf, Reason, Refusal, Space

if TYPE_CHECKING:
    from ganrun.data.splits import datasets
    from ganrun.distributed import Agreement, Processes
    from ganrun.experiment.capabilities import provided_by
    from ganrun.experiment.experiment import Experiment, Plan
    from ganrun.recipe import Part
    from ganrun.training.build import init_of
    from ganrun.training.remedies import remedies_for
    from ganrun.training.run import Run
    from ganrun.training.scoring import due

_SLOW = {
    "Agreement": "ganrun.distributed",
    "Experiment": "ganrun.experiment.experiment",
    "Part": "ganrun.recipe",
    "Plan": "ganrun.experiment.experiment",
    "Processes": "ganrun.distributed",
    "Run": "ganrun.training.run",
    "datasets": "ganrun.data.splits",
    "due": "ganrun.training.scoring",
    "init_of": "ganrun.training.build",
    "provided_by": "ganrun.experiment.capabilities",
    "remedies_for": "ganrun.training.remedies",
}


def __getattr__(name: str) -> Any:
    """Import what is slow when it is first asked for."""
    if name in _SLOW:
        return getattr(import_module(_SLOW[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Agreement",
    "Call",
    "Clock",
    "Component",
    "Description",
    "Diagnostic",
    "Discriminator",
    "DiscriminatorOutput",
    "Draws",
    "Duration",
    "Evaluator",
    "Experiment",
    "Features",
    "Finding",
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
    "Reason",
    "Refusal",
    "Role",
    "Round",
    "Run",
    "Sampler",
    "Sampling",
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
    "checkpoint",
    "chunks",
    "datasets",
    "due",
    "example_inputs",
    "first_value",
    "hookimpl",
    "init_of",
    "initialise",
    "jsonl",
    "provided_by",
    "remedies_for",
    "stable_hash",
]
