"""Tiny runs of the variants with an encoder: linear networks on points or small digits, plain gradient descent."""

from torch import Tensor, nn

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]
LINEAR = {"mlp": {"widths": [], "norm": "none"}}
SGD = {"optimizer": {"sgd": {"lr": 0.1}}}
ALL = ["autoencoder", "vae", "bigan", "ali", "aae", "vaegan", "veegan"]
PLAYERS = {
    "autoencoder": ["autoencoder"],
    "vae": ["autoencoder"],
    "aae": ["autoencoder", "discriminator", "encoder"],
    "vaegan": ["encoder", "generator", "discriminator"],
}


def small(variant: str, parameters: dict | None = None, *, image: bool = False, **changes) -> dict:
    """Linear networks on points of the plane, or on digits of 8 x 8, latents of 2 numbers, plain gradient descent."""
    data = {"digits": {"size": 8}} if image else {"ring": {"count": 256}}
    parts = {"generator": LINEAR, "encoder": LINEAR, "discriminator": LINEAR}
    if variant == "vaegan":
        parts["discriminator"] = {"mlp": {"widths": [3]}}  # it needs a hidden layer
    if variant in ("autoencoder", "vae"):
        del parts["discriminator"]
    players = dict.fromkeys(PLAYERS.get(variant, ["discriminator", "generator"]), SGD)
    recipe = {
        "variant": {variant: {"latent": 2, **(parameters or {})}},
        "dataset": data,
        **parts,
        "players": players,
        "without": QUIET,
    }
    return {**recipe, "train": {"steps": 4, "batch_size": 4, "device": "cpu", "precision": "float64"}, **changes}


def phase_of(run, name: str):
    return next(phase for phase in run.experiment.phases if phase.name == name)


def taken(run, name: str, seen: dict):
    """The turn of one phase with its gradients, not applied.

    ``seen``: made and latents before the fakes are cut or changed.
    """
    with run.experiment.settings():
        run.engine.fakes.forget()
        turn = run.engine.take(phase_of(run, name), 0, 0, [])
    seen.update(real=turn.real, latents=turn.latents, made=turn.made)
    return turn


def weight(run, name: str) -> Tensor:
    """The weight of a linear network, (out, in)."""
    return next(iter(run.engine.modules[name].parameters()))


def linear(run, name: str) -> nn.Linear:
    module = run.engine.modules[name].output
    return module[0] if isinstance(module, nn.Sequential) else module
