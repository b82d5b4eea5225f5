"""The card of a shared run: a README.md that says what it makes, of which data, how well, and under which licence."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ganrun.evaluation.provenance import Measured
from ganrun.inference.trained import Trained


def card(
    trained: Trained,
    measured: Sequence[Measured],
    versions: Mapping[str, Any],
    *,
    name: str,
    licence: str | None,
    picture: bool,
    left_out: Sequence[str],
    resumes: bool,
) -> str:
    """The text. ``licence`` is that of the weights, None if none was given."""
    lines = [
        *_header(trained, licence),
        f"# {name.partition('/')[2] or trained.recipe.name}",
        "",
        *_made(trained, versions, left_out, resumes),
    ]
    if picture:
        what = "translations" if trained.experiment.description.conditional else "samples"
        lines += [f"![{what}](sample.png)", ""]
    lines += _use(trained, name)
    lines += _scores(measured)
    lines += _data(trained, versions)
    lines += _plugins(versions)
    lines += [
        "## Licence",
        "",
        f"The weights: {licence}. " if licence else "The weights: none was stated. ",
        "The data have a licence of their own, which may restrict what models of them may be used for.",
        "",
        "## Recipe",
        "",
        "`recipe.yaml` is everything that decided this result: `ganrun recipe recipe.yaml -o runs/again`.",
        "",
    ]
    return "\n".join(lines)


def _header(trained: Trained, licence: str | None) -> Iterator[str]:
    """What the hub reads."""
    translates = trained.experiment.description.conditional
    yield "---"
    yield "library_name: ganrun"
    if licence:
        yield f"license: {json.dumps(licence)}"
    if trained.experiment.dataset.spaces[trained.output].kind == "image":
        yield f"pipeline_tag: {'image-to-image' if translates else 'unconditional-image-generation'}"
    yield "tags:"
    yield from (f"- {json.dumps(tag)}" for tag in ("gan", "ganrun", trained.recipe.variant.name))
    yield "---"
    yield ""


def _made(trained: Trained, versions: Mapping[str, Any], left_out: Sequence[str], resumes: bool) -> Iterator[str]:
    spaces = trained.experiment.dataset.spaces
    outputs = ", ".join(f"`{entry}`: {spaces[entry]}" for entry in trained.experiment.description.outputs)
    weights = trained.sample_maker.caption() or "weights: trained"
    yield f"A `{trained.recipe.variant.name}`, trained with ganrun up to step {trained.step:,}; {weights}."
    yield f"It makes {outputs}, images in [-1, 1]."
    numbers = sum(
        p.numel() for name, m in trained.experiment.modules.items() if name not in left_out for p in m.parameters()
    )
    yield f"{numbers:,} parameters in {', '.join(f'`{n}`' for n in trained.experiment.modules if n not in left_out)}."
    if resumes:
        yield "The training state is here, too: a pulled run continues with `--resume`."
    elif left_out:
        behind = ", ".join(f"`{name}`" for name in left_out)
        yield f"What sampling does not use stayed behind: {behind}, and the training state."
    for entry, names in trained.label_names.items():
        yield f"Names of `{entry}`: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}."
    libraries = versions.get("libraries", {})
    yield f"Trained with ganrun {libraries.get('ganrun', '?')}, torch {libraries.get('torch', '?')}."
    yield ""


def _use(trained: Trained, name: str) -> Iterator[str]:
    where = f"hf://{name}" if name else "MODEL.zip"
    translates = trained.experiment.description.conditional
    yield "## Use"
    yield ""
    yield f"    ganrun translate {where} IN/ OUT/" if translates else f"    ganrun sample {where} --count 64 -o samples"
    yield f"    ganrun export {where} --to onnx"
    yield ""
    yield "```python"
    yield "import ganrun"
    yield ""
    yield f'trained = ganrun.load("{where}")'
    yield "generator = trained.generator()  # a plain torch module"
    yield "```"
    yield ""


def _scores(measured: Sequence[Measured]) -> Iterator[str]:
    yield "## Scores"
    yield ""
    if not measured:
        yield "None were kept for this step."
        yield ""
        return
    yield "| score | value | 95% interval | samples | real ones | features |"
    yield "|---|---|---|---|---|---|"
    for one in measured:
        alike = one.provenance["alike"]
        real = ", ".join(
            f"{about['samples']:,} ({split})" for split, about in alike["real"].items() if "samples" in about
        )
        features = ", ".join(f"{feature} {about['hash'][:8]}" for feature, about in alike["features"].items())
        made = ", ".join(f"{n:,}" for n in alike["samples"])
        for key, score in one.scores.items():
            value = f"{score.value:.4g}" if math.isfinite(score.value) else str(score.value)
            known = score.low is not None and score.high is not None
            interval = f"{score.low:.4g} to {score.high:.4g}" if known else ""
            yield f"| {_cell(key)} | {value} | {interval} | {made} | {real} | {_cell(features)} |"
    yield ""
    yield "`evaluations.jsonl` says where each is from: data and extractor by hash, resizing, rounding, seed, versions."
    yield ""


def _data(trained: Trained, versions: Mapping[str, Any]) -> Iterator[str]:
    about = versions.get("data") or {}
    yield "## Data"
    yield ""
    part = trained.recipe.dataset
    yield f"Data set `{part.name}`, {about.get('items', len(trained.experiment.dataset)):,} training items" + (
        f", fingerprint `{about['fingerprint'][:16]}`." if about.get("fingerprint") else "."
    )
    given = {key: value for key, value in part.as_recipe()[part.name].items() if value is not None}
    yield f"Parameters: `{json.dumps(given)}`." if given else "No parameters."
    yield ""


def _plugins(versions: Mapping[str, Any]) -> Iterator[str]:
    """What is not ganrun's own, and has to be installed to open the run."""
    foreign = {
        name: about for name, about in versions.get("plugins", {}).items() if about.get("distribution") != "ganrun"
    }
    if not foreign:
        return
    yield "## Plugins"
    yield ""
    yield "Needed besides ganrun:"
    yield ""
    for name, about in foreign.items():
        where = " ".join(str(about[key]) for key in ("distribution", "version") if about.get(key))
        yield f"- `{name}`: {where or 'a file that is not on an index, given with `--plugin`'}"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
