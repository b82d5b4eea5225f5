"""What a process computes for an evaluator."""

import torch


def test_fakes_too_many_to_keep_are_made_again_the_same(tiny, make_run, monkeypatch):
    from ganrun.evaluation import pieces

    run = make_run(tiny())
    kept_ones = run.evaluation.fakes(n=600)
    monkeypatch.setattr(pieces, "KEPT", 0)
    run.evaluation.forget_fakes()
    assert torch.equal(run.evaluation.fakes(n=600), kept_ones)
    assert not run.evaluation._pieces.made
