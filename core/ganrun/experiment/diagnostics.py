"""What an experiment is refused for."""

from __future__ import annotations

from dataclasses import dataclass

from ganrun.errors import UserError
from ganrun.recipe import Part


@dataclass(frozen=True)
class Diagnostic:
    """One reason why a recipe cannot be trained, or should not: which part, why, and a way out."""

    part: str
    why: str
    instead: str

    def __str__(self) -> str:
        return f"{self.part}: {self.why}" + (f"\n    instead: {self.instead}" if self.instead else "")


def label(part: Part | None) -> str:
    """How a part is named to people: its kind and name."""
    return f"{part.kind} {part.name}" if part else ""


class RefusedError(UserError):
    """A recipe was refused before training. ``refusals`` lists every reason."""

    def __init__(self, refusals: list[Diagnostic]) -> None:
        super().__init__("this recipe is refused before training:\n  " + "\n  ".join(map(str, refusals)))
        self.refusals = refusals
