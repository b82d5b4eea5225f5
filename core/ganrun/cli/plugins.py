"""The plugins of a command: those that are installed, and the files of ``--plugin``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganrun.catalog.catalog import Catalog


def catalog_with(files: Sequence[Path] | None) -> Catalog:
    """The catalogue of a command that runs plugins.

    Raises BrokenPlugin with the mistakes found in these files before they run.
    """
    catalog = Catalog(modules=files or ())
    if files:
        from ganrun.preflight.plugin_check import check_files

        check_files(catalog)
    return catalog
