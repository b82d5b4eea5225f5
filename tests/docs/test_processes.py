"""docs/processes.md: what it says of parts is what parts say."""

from pathlib import Path

import pytest

from ganrun.catalog.catalog import Catalog

PAGE = (Path(__file__).parents[2] / "docs" / "processes.md").read_text()
KINDS = ("variant", "loss", "trick", "sampler", "optimizer")


def test_every_part_that_warns_of_several_processes_is_an_exception():
    catalog = Catalog(disabled=())
    warning = [
        entry.name
        for entry in catalog.entries()
        if entry.distribution == "ganrun"
        and entry.kind in KINDS
        and "several-processes" in getattr(catalog.load(entry.kind, entry.name).factory, "warns", {})
    ]
    assert len(warning) > 8
    assert [name for name in warning if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("option", ["--nnodes", "--nproc_per_node", "--node_rank", "--master_addr", "--rdzv_endpoint"])
def test_the_options_of_its_lines_are_torchruns(option):
    from torch.distributed.run import get_args_parser

    parser = get_args_parser()
    known = {name.replace("-", "_") for action in parser._actions for name in action.option_strings}
    assert option in PAGE
    assert option.replace("-", "_") in known
