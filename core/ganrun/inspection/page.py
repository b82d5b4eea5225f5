"""An inspection as an HTML page, with a sheet of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from ganrun.inspection.inspect import Inspection
from ganrun.pages import block, embedded, page

_SIDE = 128  # pixels of the longer side of a picture on the page
_TINY = 64  # up to so many pixels, a picture is shown with its pixels
_GROUPS, _MEMBERS = 12, 4  # duplicates that are shown with pictures
MOST_LINES = 1000  # of files in a table; the rest is counted
_MARKS = {"bad": "Problem", "warn": "Look at this", "note": "Note"}


def inspection_page(found: Inspection, made: str) -> str:
    """The page. made: with what and when it was made, in words."""
    classes = {split: sorted(counts.items(), key=lambda row: -row[1]) for split, counts in found.classes.items()}
    remarks = [
        {"level": one.level, "mark": _MARKS[one.level], "title": one.title, "advice": one.advice, "files": one.files}
        for level in _MARKS
        for one in found.remarks
        if one.level == level
    ]
    return page(
        f"Inspection of {found.data}",
        block(
            "inspection.html",
            found=found,
            remarks=remarks,
            classes=classes,
            lines=MOST_LINES,
            sheet=_pictures(found, found.sheet),
            duplicates=[_pictures(found, group[:_MEMBERS]) for group in found.duplicates[:_GROUPS]],
            near=[_pictures(found, group[:_MEMBERS]) for group in found.near_duplicates[:_GROUPS]],
        ),
        note=made,
    )


def _pictures(found: Inspection, names: Sequence[str]) -> list[dict[str, Any]]:
    """Pictures as the page embeds them; what cannot be shown is left out."""
    shown = []
    for name in names:
        try:
            picture = found.picture(name)
        except Exception:  # it was read before: the file changed meanwhile
            continue
        small = max(picture.size) <= _TINY
        if not small:
            picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        shown.append({"source": embedded(picture), "caption": name, "small": small})
    return shown
