"""The formats of exported networks: how each is written, and how a file of it is run."""

from __future__ import annotations

import json
import logging
import runpy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganrun.errors import UserError
from ganrun.files import write
from ganrun.inference.export_script import sample_script, source, weights_of
from ganrun.inference.exported import Exportable

Runner = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Graph:
    """What is written of a network: its graph, and what is said of it.

    stem: the files' name without an ending. draws: input -> the expression that draws it, for scripts. stored: inputs
    that a script cannot draw, as ganrun drew them.
    """

    program: Any
    of: Exportable
    stem: str
    about: Mapping[str, Any]
    draws: Mapping[str, str]
    stored: dict[str, Tensor]

    @property
    def called(self) -> str:
        """The network's name as one of Python."""
        name = "".join(letter if letter.isalnum() else "_" for letter in self.stem)
        return name if name.isidentifier() else f"network_{name}"


def traced(of: Exportable) -> Any:
    """The graph of a network: any number of rows and, where it can, any height and width.

    What the graph takes may be less than what the network does: ``of.multiple`` and ``of.any_size`` say so then.

    Raises whatever torch.export raises for one that it cannot follow.
    """
    dim: Any = torch.export.Dim
    rows = dim("batch", min=1)
    shapes: dict[str, Any] = {}
    for one in of.inputs:
        free = of.any_size and one.kind in ("image", "noise")
        shapes[one.name] = {0: rows} | ({axis + 1: dim.AUTO for axis in range(1, len(one.shape))} if free else {})
    with _quiet():
        program = torch.export.export(of, of.example(2), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) and not _is_off(node):
            raise UserError(f"it draws random numbers inside ({node.target}), so it has no two equal outputs")
    if of.any_size and len(of.inputs) == len(of.taken):
        _look_for_sizes(of, program)
    return program


def _look_for_sizes(of: Exportable, program: Any) -> None:
    """Find the smallest multiple at which the graph takes larger images: a network may pad, and the graph does not."""
    run = program.module()
    sides = [side for one in of.inputs if one.kind == "image" for side in one.shape[1:]]
    while of.multiple <= max(sides):
        if all(side % of.multiple == 0 for side in sides):
            try:
                run(*of.example(1, larger=1))
                return
            except (AssertionError, RuntimeError):  # a guard of the graph, or an operation in it
                pass
        of.multiple *= 2
    of.any_size = False


def _is_off(node: Any) -> bool:
    """Whether a node is dropout in evaluation mode, which draws nothing."""
    return "dropout" in str(node.target) and (False in node.args or node.kwargs.get("train") is False)


def write_onnx(graph: Graph, folder: Path) -> list[str]:
    """``NAME.onnx``, with what is said of it among its metadata."""
    onnx = _wanted("onnx", "onnxscript")
    file = folder / f"{graph.stem}.onnx"
    with _quiet():
        exported = torch.onnx.export(
            graph.program, (), dynamo=True, verbose=False, output_names=list(graph.of.outputs), external_data=False
        )
    assert exported is not None
    model = exported.model_proto
    _name_axes(model.graph, graph.of)
    model.producer_name = "ganrun"
    entry = model.metadata_props.add()
    entry.key, entry.value = "ganrun", json.dumps(graph.about)
    onnx.save(model, file)
    return [file.name]


def _name_axes(graph: Any, of: Exportable) -> None:
    """Give the free axes names that say what they are, in every value of the graph."""
    names: dict[str, str] = {}
    for value, one in zip(graph.input, of.inputs):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param and one.kind != "noise":
                names.setdefault(dim.dim_param, ("batch", "channels", "height", "width")[axis])
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]


def run_onnx(graph: Graph, folder: Path) -> Runner:
    """A function that runs the file in onnxruntime."""
    runtime = _wanted("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(folder / f"{graph.stem}.onnx"), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        given = {one.name: tensor.numpy() for one, tensor in zip(graph.of.inputs, inputs)}
        return tuple(torch.from_numpy(made) for made in session.run(None, {name: given[name] for name in names}))

    return run


def write_pt2(graph: Graph, folder: Path) -> list[str]:
    """``NAME.pt2`` for ``torch.export.load``, with what is said of it in its extra file ``ganrun.json``."""
    file = folder / f"{graph.stem}.pt2"
    with _quiet():
        torch.export.save(graph.program, file, extra_files={"ganrun.json": json.dumps(graph.about)})
    return [file.name]


def run_pt2(graph: Graph, folder: Path) -> Runner:
    """A function that runs the file as torch loads it."""
    with _quiet():
        module = torch.export.load(folder / f"{graph.stem}.pt2").module()

    def run(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        with torch.no_grad():
            made: tuple[Tensor, ...] = module(*inputs)
        return made

    return run


def write_safetensors(graph: Graph, folder: Path) -> list[str]:
    """``NAME.safetensors``, its network as ``NAME_network.py``, and ``NAME_sample.py``, which samples with both."""
    about = json.dumps(graph.about)
    save_file(weights_of(graph.program), folder / f"{graph.stem}.safetensors", metadata={"ganrun": about})
    said = f"The network {graph.stem} of a run of ganrun in calls of torch: weights from {graph.stem}.safetensors."
    write(folder / f"{graph.stem}_network.py", source(graph.program, graph.called, graph.of, said))
    names = [f"{graph.stem}.safetensors", f"{graph.stem}_network.py", f"{graph.stem}_sample.py"]
    write(folder / names[2], sample_script(graph.called, graph.of, dict(graph.draws), graph.stem))
    if graph.stored:
        names.append(f"{graph.stem}_inputs.safetensors")
        save_file(graph.stored, folder / names[3])
    return names


def run_safetensors(graph: Graph, folder: Path) -> Runner:
    """A function that runs the written source on the written weights."""
    network = runpy.run_path(str(folder / f"{graph.stem}_network.py"))[graph.called]
    weights = load_file(folder / f"{graph.stem}.safetensors")

    def run(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        with torch.no_grad():
            made = network(weights, *inputs)
        return made if isinstance(made, tuple) else (made,)

    return run


# name of a format -> how it is written, and how a written file is run
FORMATS: dict[str, tuple[Callable[[Graph, Path], list[str]], Callable[[Graph, Path], Runner]]] = {
    "onnx": (write_onnx, run_onnx),
    "pt2": (write_pt2, run_pt2),
    "safetensors": (write_safetensors, run_safetensors),
}


def _wanted(*packages: str) -> Any:
    """The first of some packages, imported. Raises UserError with how they are installed."""
    import importlib

    try:
        found = [importlib.import_module(package) for package in packages]
    except ImportError as error:
        raise UserError(f"--to onnx needs {error.name}: pip install 'ganrun[onnx]'") from error
    return found[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """In this context exporters do not tell of their own workings."""
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
