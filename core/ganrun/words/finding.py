"""What is found wrong with a run, as observers report it to one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """Something wrong with a run: the payload of the event ``finding``.

    name: such as ``mode-collapse``. evidence: a sentence for people. numbers: the same for programs. since: the first
    step at which it was seen. good: the last step at which it was checked for and not found. remedies: names of
    installed tricks that fit the run's recipe and may help.
    """

    name: str
    evidence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    since: int = 0
    good: int = 0
    remedies: tuple[str, ...] = ()
