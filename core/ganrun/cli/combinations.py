"""``ganrun combinations``: which variants, losses and tricks go together, and why others do not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganrun.cli.output import complain, outliving_readers, print_json
from ganrun.cli.plugins import catalog_with
from ganrun.errors import UserError

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog
    from ganrun.preflight.combinations import Combination


def command(
    variant: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this variant. Can be repeated.")
    ] = None,
    loss: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this loss. Can be repeated.")] = None,
    trick: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this trick. Can be repeated.")] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that is not installed. Can be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which variants, losses and tricks combine.

    Every combination is built, not trained; what works or is refused is printed, with the reasons. Every part has
    its defaults: of tricks with a parameter that has none, those are left out that are not named."""
    from ganrun.preflight.combinations import combinations, pairs, shares

    catalog = catalog_with(plugin)
    chosen = [
        chosen_names(catalog, kind, names) for kind, names in (("variant", variant), ("loss", loss), ("trick", trick))
    ]
    for name, missing in () if trick else without_defaults(catalog, chosen[2]):
        chosen[2].remove(name)
        complain(f"left out: trick {name}, whose {missing} has no default")
    found: list[Combination] = []
    reasons: dict[str, int] = {}
    with outliving_readers():
        for name in chosen[0]:
            some = list(combinations(catalog, [name], chosen[1], chosen[2]))
            found += some
            if not as_json:
                print("\n".join(lines_of(name, some, reasons)), end="\n\n", flush=True)
        if as_json:
            print_json([as_dict(c) for c in found])
            return
        for reason, number in reasons.items():
            print(f"[{number}] {' '.join(reason.split())}")
        counts, table = shares(found), pairs(found)
        refused = sum(result == "refused" for result in table.values())
        print(
            f"\n{len(found)} combinations: {counts['works']} work, {counts['warns']} warn, "
            f"{counts['refused']} are refused"
        )
        if table:
            print(
                f"{refused} of {len(table)} pairs of trick and loss are refused with every variant "
                f"({refused / len(table):.1%})"
            )


def chosen_names(catalog: Catalog, kind: str, wanted: Sequence[str] | None) -> list[str]:
    """The installed plugins of a kind, or the given ones. Raises UserError for one that is not installed."""
    known = sorted(catalog.names(kind))
    for name in wanted or ():
        if name not in known:
            raise UserError(f"--{kind} {name}: no such {kind}; there are {', '.join(known)}")
    return list(wanted or known)


def without_defaults(catalog: Catalog, tricks: Sequence[str]) -> list[tuple[str, str]]:
    """The tricks that a recipe has to give parameters to, each with the first of those."""
    from ganrun.recipe.parameters import describe_parameters

    rows = [(name, row) for name in tricks for row in describe_parameters(catalog.load("trick", name))]
    return list({name: (name, row.name) for name, row in reversed(rows) if not row.default}.values())


def lines_of(variant: str, found: Sequence[Combination], reasons: dict[str, int]) -> list[str]:
    """A heading, and one line a trick: with which losses it warns or is refused, and the numbers of the reasons."""
    lines = [f"{variant} (on {found[0].dataset})"]
    for trick in dict.fromkeys(c.trick for c in found):
        row = [c for c in found if c.trick == trick]
        parts = []
        for result in ("works", "warns", "refused"):
            some = [c for c in row if c.verdict.result == result]
            if some and len(some) == len(row):
                parts.append(f"{result} with every loss{numbers(some, reasons)}")
            elif some and result == "works":
                parts.append(f"works with {len(some)} of {len(row)} losses")
            elif some:
                parts.append(f"{result} with {', '.join(c.loss for c in some)}{numbers(some, reasons)}")
        lines.append(f"  {trick or '(no trick)'}: {'; '.join(parts)}")
    return lines


def numbers(found: Sequence[Combination], reasons: dict[str, int]) -> str:
    """The numbers of the reasons of some combinations; new reasons get the next ones."""
    mine = {reasons.setdefault(reason, len(reasons) + 1) for c in found for reason in c.verdict.reasons}
    return "".join(f" [{number}]" for number in sorted(mine))


def as_dict(combination: Combination) -> dict[str, object]:
    """One combination for ``--json``."""
    verdict = combination.verdict
    return {
        "variant": combination.variant,
        "loss": combination.loss,
        "trick": combination.trick or None,
        "dataset": combination.dataset,
        "discriminator": verdict.discriminator or None,
        "result": verdict.result,
        "reasons": list(verdict.reasons),
    }
