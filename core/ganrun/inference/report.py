"""A run as one HTML page: what was trained, how it ended, scores, curves, findings, pictures, recipe, versions."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.inference.record import Curve, Record, thinned
from ganrun.pages import block, embedded, page
from ganrun.recipe import diff_text, load_recipe

PAGE_BYTES = 5_000_000  # of a page
PICTURES = 24  # steps that are shown, and half as many until the page is small enough
PICTURE_SIDE = 1024  # pixels of a picture's longer side


def report(record: Record, catalog: Catalog) -> str:
    """The page, of at most :data:`PAGE_BYTES`: curves are thinned, and so many pictures left out."""
    most = PICTURES
    while True:
        made = _page(record, catalog, most)
        if len(made.encode()) <= PAGE_BYTES or most <= 1:
            return made
        most //= 2


def _page(record: Record, catalog: Catalog, most: int) -> str:
    part = _part(record.recipe.get("variant"))
    data = _part(record.recipe.get("dataset"))
    title = f"{record.folder.absolute().name}: {part} on {data}"
    shown = spread(list(record.pictures), most)
    body = block(
        "report.html",
        facts=_facts(record),
        damaged=record.damaged,
        marks=[{"step": int(line["step"]), "name": line["finding"]} for line in record.findings if "finding" in line],
        pictures=[picture for step in shown if (picture := _picture(record, step)) is not None],
        left_out=f"{len(shown)} of {len(record.pictures)} pictures; all are in {record.folder.name}/samples"
        if len(shown) < len(record.pictures)
        else "",
        scores=[_score(curve) for curve in record.scores if curve.last is not None],
        provenance=_provenance(record),
        findings=[_finding(line, record) for line in record.findings if "finding" in line],
        charts=[*_charts(record)],
        differences=differences(record, catalog),
        recipe=record.text.rstrip("\n"),
        commands=_commands(record),
        versions=_versions(record),
    )
    return page(title, body, note=f"{record.state}; {record.folder.absolute()}")


def spread(items: Sequence[int], most: int) -> list[int]:
    """At most so many of some items, evenly, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[-1]]
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def differences(record: Record, catalog: Catalog) -> str:
    """What the recipe has otherwise than the variant's defaults on the same data; empty if that cannot be told."""
    try:
        mine = load_recipe(record.folder / "recipe.yaml", catalog=catalog)
        plain = load_recipe({"variant": mine.variant.name, "dataset": mine.resolved["dataset"]}, catalog=catalog)
    except UserError:
        return ""
    return diff_text(plain.resolved, mine.resolved).rstrip("\n")


def _facts(record: Record) -> list[tuple[str, str]]:
    versions = record.versions
    best = _chosen(record)
    found = [("steps", f"{record.step:,}" + (f" of {record.steps:,}" if record.steps else ""))]
    if record.seconds:
        found.append(("time", _clock(record.seconds)))
    if best is not None and best.last is not None:
        found.append((best.name, f"{best.last:.4g}"))
    if "device" in versions:
        found.append(("device", str(versions["device"])))
    if isinstance(versions.get("data"), dict):
        found.append(("training items", f"{versions['data'].get('items', 0):,}"))
    found.append(("findings", str(sum("finding" in line for line in record.findings))))
    return found


def _chosen(record: Record) -> Curve | None:
    """The score by which the recipe keeps its best checkpoint, if it has been measured."""
    best = ((record.recipe.get("checkpoint") or {}).get("best") or {}).get("evaluator", "")
    return next(
        (curve for curve in record.scores if best and curve.name.startswith(best) and curve.last is not None), None
    )


def _clock(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds % 60)} s"


def _picture(record: Record, step: int) -> dict[str, Any] | None:
    """One picture of the slider; None, and a line among what is damaged, if it cannot be read."""
    path = record.pictures[step]
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        line = f"{path.name}: {' '.join(str(error).split())[:120]}"
        if line not in record.damaged:
            record.damaged.append(line)
        return None
    if max(picture.size) > PICTURE_SIDE:
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    return {"source": embedded(picture), "caption": f"step {step:,}"}


def _score(curve: Curve) -> dict[str, Any]:
    place = max(i for i, value in enumerate(curve.values) if value is not None)
    low, high = curve.low[place], curve.high[place]
    numbers = [(value, step) for value, step in zip(curve.values, curve.steps) if value is not None]
    least, greatest = min(numbers), max(numbers)
    return {
        "name": curve.name,
        "newest": f"{curve.values[place]:.4g}",
        "interval": "" if low is None or high is None else f"{low:.4g} to {high:.4g}",
        "step": curve.steps[place],
        "least": f"{least[0]:.4g} (step {least[1]:,})",
        "greatest": f"{greatest[0]:.4g} (step {greatest[1]:,})",
    }


def _provenance(record: Record) -> list[str]:
    if not record.scores:
        return []
    return [
        "Intervals are about other samples of the same networks. What each score was measured on (features by hash, "
        f"split, numbers of samples) is in {record.folder.name}/evaluations.jsonl."
    ]


def _finding(line: dict[str, Any], record: Record) -> dict[str, str]:
    gone = next(
        (
            other["step"]
            for other in record.findings
            if other.get("gone") == line["finding"] and other["step"] > line["step"]
        ),
        None,
    )
    until = f" until {gone:,}" if gone is not None else ""
    return {
        "name": str(line["finding"]),
        "when": f"from step {int(line.get('since', line['step'])):,}{until}",
        "evidence": str(line.get("evidence", "")),
        "remedies": ", ".join(map(str, line.get("remedies", ()))),
    }


def _charts(record: Record) -> Iterable[dict[str, Any]]:
    """Groups of curves that share an axis: losses of each player, rates, notes and scores by themselves."""
    players = dict.fromkeys(curve.name.partition("/")[0] for curve in record.losses)
    for player in players:
        curves = [curve for curve in record.losses if curve.name.partition("/")[0] == player]
        yield _chart(f"losses of {player}", curves, cut=f"{player}/")
    for curve in record.scores:
        if sum(value is not None for value in curve.values) > 1:
            yield _chart(curve.name, [curve])
    if record.rates:
        yield _chart("learning rates", record.rates, cut="rate/")
    for curve in record.notes:
        yield _chart(curve.name, [curve])


def _chart(title: str, curves: list[Curve], cut: str = "") -> dict[str, Any]:
    small = [thinned(curve) for curve in curves]
    numbers = [value for curve in small for value in curve.values if value is not None]
    data = [
        {
            "name": curve.name.removeprefix(cut),
            "steps": curve.steps,
            "values": [_rounded(value) for value in curve.values],
            "low": [_rounded(value) for value in curve.low],
            "high": [_rounded(value) for value in curve.high],
        }
        for curve in small
    ]
    words = "; ".join(f"{curve.name} ends at {curve.last:.4g}" for curve in curves if curve.last is not None)
    return {"title": title, "curves": data, "words": words, "positive": any(value > 0 for value in numbers)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _commands(record: Record) -> str:
    run = shlex.quote(str(record.folder))
    lines = [
        f"ganrun recipe {run} --resume                # go on, to the same bits; --set train.steps=N for longer",
        f"ganrun sample {run} --seed 7",
        f"ganrun evaluate {run}",
        f"ganrun reproduce {run}                      # train it again and compare",
    ]
    command = record.versions.get("command")
    if isinstance(command, list) and command:
        lines.insert(0, f"# begun with: ganrun {' '.join(shlex.quote(str(word)) for word in command[1:])}")
    return "\n".join(lines)


def _versions(record: Record) -> list[tuple[str, str]]:
    kept = record.versions
    found = [
        (name, str(kept[name])) for name in ("python", "system", "processor", "threads", "processes") if name in kept
    ]
    libraries = kept.get("libraries")
    found += [(name, str(version)) for name, version in libraries.items()] if isinstance(libraries, dict) else []
    plugins = kept.get("plugins")
    if isinstance(plugins, dict):
        others = {
            f"{where.get('distribution')} {where.get('version', '')}".strip()
            for where in plugins.values()
            if isinstance(where, dict) and where.get("distribution") not in (None, "ganrun")
        }
        found += [("plugins of others", ", ".join(sorted(others)))] if others else []
    return found


def _part(written: Any) -> str:
    """The name of a part as a recipe writes it."""
    if isinstance(written, dict) and written:
        return str(next(iter(written)))
    return str(written or "?")
