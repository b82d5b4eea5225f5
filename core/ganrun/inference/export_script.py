"""A network as Python source that needs torch alone, and a script that samples with it.

The source is the graph that ``torch.export`` found, one call a line; weights are looked up by their names in the
``safetensors`` file beside it.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor
from torch.export.graph_signature import InputKind

from ganrun.inference.exported import Exportable, Input

STORED = {InputKind.PARAMETER: "state_dict", InputKind.BUFFER: "state_dict", InputKind.CONSTANT_TENSOR: "constants"}
ENDLESS = str(2**63 - 1)  # the end of a slice that has none
SAMPLES_OF_SCRIPT = 64  # samples that the script makes


def weights_of(program: Any) -> dict[str, Tensor]:
    """Name -> tensor of all that the graph of an exported program uses, without what it does not."""
    used = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    found: dict[str, Tensor] = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind in STORED and spec.arg.name in used:
            kept = program.state_dict if spec.target in program.state_dict else program.constants
            found[_short(spec.target)] = kept[spec.target].detach().contiguous().clone()
    return found


def _short(target: str) -> str:
    """A weight's name as the network has it, without that of the module around it."""
    return target.removeprefix("network.")


def source(program: Any, called: str, of: Exportable, about: str) -> str:
    """A module with one function, ``called(weights, *inputs)``, that needs torch alone.

    about: what its docstring says.
    """
    graph = program.graph_module.graph
    text = graph.python_code("self").src
    body = [line for line in text[text.index("def forward") :].splitlines()[1:] if line.strip()]
    lines = [re.sub(r";  (\w+ = )+None\s*(#.*)?$", "", line).rstrip() for line in body]
    code = "\n".join(line for line in lines if "_assert_" not in line and "_guards_fn" not in line)
    for spec in program.graph_signature.input_specs:
        if spec.kind in STORED:
            code = re.sub(rf"\b{re.escape(spec.arg.name)}\b", f'weights["{_short(spec.target)}"]', code)
    code = code.replace("torch.ops.aten.", "aten.").replace(f", {ENDLESS}", ", END")
    code = re.sub(r"device\(type='\w+'\)", f"{of.inputs[0].name}.device", code)
    code = re.sub(r"return \((\w+),\)", r"return \1", code)
    names = ", ".join(one.name for one in of.inputs)
    head = f'"""{about}"""\n\nimport operator\nfrom math import inf, nan  # noqa: F401\n\nimport torch\n\n'
    head += f"aten, END = torch.ops.aten, {ENDLESS}\n\n\n"
    return f"{head}def {called}(weights, {names}):\n{code}\n"


def sample_script(called: str, of: Exportable, draws: dict[str, str], stem: str) -> str:
    """A script of plain PyTorch that loads a network and samples with it; draws: input -> expression that draws it."""
    images = [one for one in of.taken if one.kind == "image"]
    lines = [
        f'"""{"Picture" if images else "Seed"} in, samples out, without ganrun: python {stem}_sample.py '
        f'{"PICTURE" if images else "[SEED]"}"""',
        "import pathlib, sys",
        "import numpy, torch",
        "from PIL import Image" if images or _shows(of) else "",
        "from safetensors.torch import load_file",
        f"from {stem}_network import {called}",
        "",
        f"here, N = pathlib.Path(__file__).parent, {1 if images else SAMPLES_OF_SCRIPT}",
        f'weights = load_file(here / "{stem}.safetensors")',
    ]
    lines = [line for i, line in enumerate(lines) if line or i == 6]
    if not images:
        lines.append("torch.manual_seed(int(sys.argv[1]) if len(sys.argv) > 1 else 0)")
    lines += _picture(of, images[0]) if images else []
    lines += [f"{one.name} = {_expression(one, draws, stem)}" for one in of.inputs]
    arguments = ", ".join(one.name for one in of.inputs)
    lines += ["with torch.no_grad():", f"    made = {called}(weights, {arguments})"]
    return "\n".join(line for line in [*lines, *_written(of, stem)]) + "\n"


def _expression(one: Input, draws: dict[str, str], stem: str) -> str:
    """What fills an input in the script."""
    if one.kind == "image":
        return "picture"
    # what ganrun's sampler drew, where that is not simply written down
    return draws[one.name] or f'load_file(here / "{stem}_inputs.safetensors")["{one.name}"]'


def _picture(of: Exportable, image: Input) -> list[str]:
    """The lines that read a picture, at its own size where the network takes any."""
    channels, height, width = image.shape
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels)
    if mode is None:
        return [f"picture = torch.tensor(numpy.load(sys.argv[1])).float()  # (N, {channels}, H, W) in [-1, 1]"]
    free = of.any_size and len(of.inputs) == len(of.taken)
    m = of.multiple
    size = f"[max(side // {m}, 1) * {m} for side in file.size]" if free else f"({width}, {height})"
    return [
        f'file = Image.open(sys.argv[1]).convert("{mode}")',
        f"pixels = numpy.array(file.resize({size})) / 127.5 - 1  # in [-1, 1]",
        "picture = torch.tensor(pixels).float().reshape(N, *pixels.shape[:2], -1).permute(0, 3, 1, 2)",
    ]


def _shows(of: Exportable) -> bool:
    return of.outputs == ["made_image"]


def _written(of: Exportable, stem: str) -> list[str]:
    if _shows(of):
        return [
            "if made.shape[1] in (1, 3):  # (N, C, H, W) in [-1, 1] -> rows of eight images",
            "    rows = made.add(1).mul(127.5).round().clamp(0, 255).byte().split(8)",
            "    sheet = torch.cat([torch.cat(list(row), 2) for row in rows if len(row) in (8, N)], 1)",
            f'    Image.fromarray(sheet.permute(1, 2, 0).squeeze(2).numpy()).save("{stem}_samples.png")',
            f'numpy.save("{stem}_samples.npy", made.numpy())',
        ]
    return [f'numpy.save("{stem}_samples.npy", {"made[0]" if len(of.outputs) > 1 else "made"}.numpy())']
