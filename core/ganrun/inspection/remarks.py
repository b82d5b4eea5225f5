"""What there is in some pictures, as counts, and what of it somebody has to know."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from ganrun.data.file_facts import FileFacts

Level = Literal["bad", "warn", "note"]
Counts = list[tuple[str, int]]
_SIDES = (1, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
SMALL_SIDE = 16  # pixels of a side below which there is next to nothing to see
LARGE_PICTURE = 20_000_000  # pixels from which decoding takes most of the time of training
LONG_ASPECT = 3.0  # times that one side is of the other, from which a square shows less than a third
_ROWS = 12  # of a table
# Upper bounds of width / height, exclusive -> in words.
_ASPECTS = (
    (1 / 2, "taller than 1:2"),
    (2 / 3, "1:2 to 2:3"),
    (0.95, "2:3 to nearly square"),
    (1.05, "square"),
    (1.5, "nearly square to 3:2"),
    (2.0, "3:2 to 2:1"),
    (float("inf"), "2:1 and wider"),
)
# Suffix -> the formats that it stands for, where it stands for certain ones.
_FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jfif"), ("JPEG", "MPO")),
    **dict.fromkeys((".tif", ".tiff"), ("TIFF",)),
    **dict.fromkeys((".pbm", ".pgm", ".ppm"), ("PPM",)),
    **dict.fromkeys((".jp2", ".j2k"), ("JPEG2000",)),
    ".png": ("PNG",),
    ".gif": ("GIF",),
    ".bmp": ("BMP", "DIB"),
    ".webp": ("WEBP",),
    ".avif": ("AVIF",),
}
# Modes of PIL in words; others are shown as they are.
MODE_WORDS = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey and alpha",
    "P": "palette",
    "PA": "palette and alpha",
    "RGB": "RGB",
    "RGBA": "RGB and alpha",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
    "LAB": "Lab",
    "F": "grey, float",
    "I": "grey, 32 bits",
    "I;16": "grey, 16 bits",
    "I;16B": "grey, 16 bits",
}


@dataclass(frozen=True)
class Remark:
    """level: bad for what stops training, warn for what spoils it or is likely a mistake. files: (path, what) each."""

    level: Level
    title: str
    advice: str = ""
    files: list[tuple[str, str]] = field(default_factory=list)


def tables(facts: Iterable[FileFacts]) -> dict[str, Counts]:
    """What of -> (value in words, how many files) each, the most frequent first or in the order of the values."""
    every = list(facts)
    return {
        "formats": _most(Counter(one.format for one in every)),
        "modes": _most(Counter(MODE_WORDS.get(one.mode, one.mode) for one in every)),
        "bits of a value": sorted(Counter(_depth(one) for one in every).items()),
        "channels": sorted(Counter(str(one.channels) for one in every).items()),
        "sizes": _most(Counter(f"{one.shown_size[0]} x {one.shown_size[1]}" for one in every)),
        "short sides": _short_sides(every),
        "aspects": _aspects(every),
        "frames of a file": _most(Counter(str(one.frames) for one in every)),
    }


def ranges(facts: Iterable[FileFacts]) -> list[tuple[str, str, int]]:
    """(Kind of value, ``LOW to HIGH``, how many files) of each kind."""
    found: dict[str, tuple[float, float, int]] = {}
    for one in facts:
        if one.low is not None and one.high is not None:
            low, high, count = found.get(one.dtype, (one.low, one.high, 0))
            found[one.dtype] = min(low, one.low), max(high, one.high), count + 1
    return [(kind, f"{low:g} to {high:g}", count) for kind, (low, high, count) in sorted(found.items())]


def peculiarities(facts: Mapping[Path, FileFacts], named: Callable[[Path], str]) -> list[Remark]:
    """What is unusual in files that can be read. named: how a path is shown."""
    found = []
    for level, test, title, advice, what in _PECULIAR:
        some = [(named(path), what(path, one)) for path, one in facts.items() if test(path, one)]
        if some:
            found.append(Remark(level, f"{_are(len(some))} {title}", advice, some))
    greys = sum(one.grey for one in facts.values())
    if 0 < greys < len(facts):
        found.append(
            Remark(
                "note",
                f"{greys:,} of {len(facts):,} pictures are grey, the others have colours",
                "`channels: 3` repeats grey ones, `channels: 1` takes the colours away",
            )
        )
    return found


def _text(one: FileFacts) -> str:
    return f"{one.low:g} to {one.high:g}"


def _pixels(path: Path, one: FileFacts) -> str:
    return f"{one.shown_size[0]} x {one.shown_size[1]}"


def _aspect(one: FileFacts) -> float:
    return max(one.size) / max(1, min(one.size))


# (level, whether a file is one, title after the count, advice, what is said of a file)
_PECULIAR: tuple[tuple[Level, Callable[[Path, FileFacts], bool], str, str, Callable[[Path, FileFacts], str]], ...] = (
    (
        "warn",
        lambda path, one: one.deep,
        "of more than 8 bits",
        "`range: [LOW, HIGH]` says which values are black and white; without it the range is measured",
        lambda path, one: f"{one.dtype}, {_text(one)}",
    ),
    (
        "warn",
        lambda path, one: one.frames > 1,
        "with several frames",
        "`frames` says whether the first one is read or all are",
        lambda path, one: f"{one.frames} frames",
    ),
    (
        "warn",
        lambda path, one: one.low == one.high,
        "of one value throughout",
        "remove them if they are blanks",
        lambda path, one: f"all values are {one.low:g}",
    ),
    (
        "warn",
        lambda path, one: min(one.size) < SMALL_SIDE,
        f"with a side of less than {SMALL_SIDE} pixels",
        "they are enlarged, and show next to nothing: remove them if they are leftovers",
        _pixels,
    ),
    (
        "warn",
        lambda path, one: _aspect(one) > LONG_ASPECT,
        f"more than {LONG_ASPECT:g} times as long on one side as on the other",
        "a square of them shows a small part: `resize: fit` or `squash` shows all, or crop them yourself",
        _pixels,
    ),
    (
        "warn",
        lambda path, one: one.size[0] * one.size[1] >= LARGE_PICTURE,
        f"of {LARGE_PICTURE // 1_000_000} million pixels or more",
        "make them smaller once, before training",
        _pixels,
    ),
    (
        "warn",
        lambda path, one: one.format not in _FORMATS.get(path.suffix.lower(), (one.format,)),
        "whose suffix says another format",
        "they are read as what they are; other programs may not",
        lambda path, one: f"{one.format}",
    ),
    (
        "note",
        lambda path, one: one.turned,
        "shown turned or mirrored, as EXIF says",
        "they are read as they are shown",
        lambda path, one: f"orientation {one.orientation}",
    ),
    (
        "note",
        lambda path, one: one.transparent,
        "with transparency",
        "transparent parts become white; `channels: 4` keeps them",
        lambda path, one: MODE_WORDS.get(one.mode, one.mode),
    ),
    (
        "note",
        lambda path, one: one.mode in ("CMYK", "YCbCr", "LAB", "HSV"),
        "in colours of print or film",
        "they are converted to RGB without a colour profile: look at some of them",
        lambda path, one: one.mode,
    ),
    (
        "note",
        lambda path, one: one.channels > 4,
        "with more than four bands",
        "all of them are read if `channels` has their number",
        lambda path, one: f"{one.channels} bands",
    ),
)


def _are(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"


def _depth(one: FileFacts) -> str:
    return "1" if one.mode == "1" else f"{one.bits}{' (float)' if one.dtype.startswith('float') else ''}"


def _most(counts: Counter[str]) -> Counts:
    """The most frequent values, and how many files have other ones."""
    rows = counts.most_common(_ROWS)
    others = counts.total() - sum(count for _, count in rows)
    return rows + ([(f"{len(counts) - len(rows):,} others", others)] if others else [])


def _short_sides(facts: list[FileFacts]) -> Counts:
    """By steps of the short side, from the first that is there to the last."""
    counts = Counter(bisect_right(_SIDES, max(1, min(one.size))) - 1 for one in facts)
    if not counts:
        return []
    names = [f"{low} to {high - 1}" for low, high in pairwise(_SIDES)] + [f"{_SIDES[-1]} and more"]
    return [(names[step], counts[step]) for step in range(min(counts), max(counts) + 1)]


def _aspects(facts: list[FileFacts]) -> Counts:
    bounds = [bound for bound, _ in _ASPECTS]
    counts = Counter(bisect_right(bounds, one.shown_size[0] / max(1, one.shown_size[1])) for one in facts)
    return [(words, counts[step]) for step, (_, words) in enumerate(_ASPECTS) if counts[step]]
