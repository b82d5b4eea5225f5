"""How many files of the training data were read, by an earlier look or by the check itself."""

from __future__ import annotations

from ganrun.contracts.protocols import Dataset
from ganrun.data.known_files import known_files
from ganrun.progress import message_if_slow


def files_read(dataset: Dataset) -> str:
    """In words, after a check that found none of them unreadable; empty for data without files of their own."""
    with message_if_slow("looking up the files of the data set"):
        paths = list(dict.fromkeys(getattr(dataset, "paths", ())))
        known = len(known_files(paths))
    if known == len(paths):
        return f"all {len(paths):,} can be read" if paths else ""
    return f"{known:,} of {len(paths):,} were looked at, and can be read; `ganrun inspect` looks at all"
