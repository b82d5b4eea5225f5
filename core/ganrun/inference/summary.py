"""A run in words: its card, as it came with it, or made of what its folder says."""

from __future__ import annotations

from pathlib import Path

from ganrun.catalog.catalog import Catalog
from ganrun.evaluation.provenance import kept
from ganrun.files import read_bytes
from ganrun.inference.card import card
from ganrun.inference.export import opened
from ganrun.training.located import located
from ganrun.training.versions import read_versions

LARGEST_CARD = 1 << 20  # bytes


def summary(run: str | Path, catalog: Catalog) -> str:
    """What a run makes, of which data, how well, and with which plugins: Markdown without the header for the hub.

    Raises:
        UserError: if there is no such run, or it cannot be opened.
    """
    folder = located(run)
    versions = read_versions(folder)
    file = folder / "README.md"
    if "shared" in versions and file.is_file():
        text = read_bytes(file, LARGEST_CARD).decode(errors="replace")
    else:
        trained = opened(folder, "last", catalog)
        text = card(
            trained, kept(folder, catalog), versions, name="", licence=None, picture=False, left_out=(), resumes=False
        )
    _, mark, body = text.removeprefix("---\n").partition("\n---\n")
    return (body if mark and text.startswith("---\n") else text).strip()
