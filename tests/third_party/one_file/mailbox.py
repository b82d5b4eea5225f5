"""A mailbox: every finding of a run becomes a letter in the run's folder, for somebody to send."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from ganrun.plugin import Component, Finding, Run, hookimpl


class Mailbox:
    """``mailbox/0001-NAME.txt``: what was found, on what evidence, and what may help."""

    files: ClassVar[Sequence[str]] = ("mailbox",)

    @hookimpl
    def finding(self, run: Run, finding: Finding) -> None:
        assert run.folder is not None
        box = run.folder / "mailbox"
        box.mkdir(exist_ok=True)
        number = len(list(box.iterdir())) + 1
        lines = [f"{run.recipe.name}, step {run.step}: {finding.name} since step {finding.since}", finding.evidence]
        lines += [f"may help: {', '.join(finding.remedies)}"] if finding.remedies else []
        (box / f"{number:04d}-{finding.name}.txt").write_text("\n".join(lines) + "\n")


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "mailbox", Mailbox)
