"""Which loss each game is played with: the recipe's, or what the variant proposes for the game."""

from __future__ import annotations

from collections.abc import Sequence

from ganrun.errors import nearest
from ganrun.experiment.diagnostics import Diagnostic, label
from ganrun.experiment.experiment import Experiment
from ganrun.recipe import Part, Recipe
from ganrun.recipe.layers import OTHERS
from ganrun.recipe.places import place
from ganrun.words.game import Game


def loss_label(game: str, part: Part | None) -> str:
    """How the loss of a game is named to people; game: "" if all games share it."""
    return label(part) + (f" of the game {game}" if game else "")


def loss_parts(recipe: Recipe, games: Sequence[Game]) -> dict[str, Part]:
    """Game -> the loss of its own; "" -> the one that all games without one share, if there are some.

    In the order of precedence: the recipe's loss of the game; the recipe's one loss for all; what the game proposes;
    the variant's default. Raises RecipeError for a proposal that is no loss.
    """
    own = {}
    for game in games:
        if game.name in recipe.losses:
            own[game.name] = recipe.losses[game.name]
        elif game.loss is not None and not recipe.loss_chosen:
            origin = f"variant {recipe.variant.name}, game {game.name}"
            own[game.name] = recipe.part(game.loss, "loss", origin=origin)
    shared = recipe.loss is not None and any(game.name not in own for game in games)
    return ({"": recipe.loss} if shared and recipe.loss else {}) | own


def check_losses(experiment: Experiment) -> list[Diagnostic]:
    """Refuse games without a loss and losses of games that there are not; warn of a loss that no game is played with.

    Sets how many logits each discriminator returns: as many as the loss of its games takes.
    """
    recipe, games = experiment.recipe, experiment.games
    refusals = _unknown_games(experiment)
    variant = label(recipe.variant)
    if recipe.loss is not None and "" not in experiment.losses and (recipe.loss_chosen or not games):
        why = f"{variant} plays no game, so nothing asks for it, and it changes nothing"
        why = "every game has a loss of its own, so nothing asks for it, and it changes nothing" if games else why
        away = f"loss.{OTHERS}" if recipe.losses else "loss"
        experiment.warn(label(recipe.loss), why, f"leave `{away}` out")
    without = [game.name for game in games if not {game.name, ""} & experiment.losses.keys()]
    if without:
        where = "" if len(without) == len(games) else f" {', '.join(without)}"
        instead = "add `loss: NAME`" if not where else f"add `loss: {{{without[0]}: NAME}}`"
        why = f"it plays a game{':' * bool(where)}{where}, and nothing says what the two sides minimise"
        return [*refusals, Diagnostic(variant, why, instead)]
    return refusals + _set_logits(experiment)


def _unknown_games(experiment: Experiment) -> list[Diagnostic]:
    """A refusal, with its place, for each loss that the recipe names for a game that there is not."""
    names = [game.name for game in experiment.games]
    refusals = []
    for name in experiment.recipe.losses:
        if name not in names:
            where = place(experiment.recipe, ("loss", name))
            near = nearest(name, names).removeprefix("; ")
            instead = f"{near} its games are {', '.join(names)}".strip() if names else "leave `loss` out"
            why = f"{label(experiment.recipe.variant)} plays no such game"
            refusals.append(Diagnostic(f"{where}: loss.{name}" if where else f"loss.{name}", why, instead))
    return refusals


def _set_logits(experiment: Experiment) -> list[Diagnostic]:
    """Set how many logits each discriminator returns: as many as the loss of its games takes.

    Refuse games that share a discriminator and disagree, and a loss on several logits in a game that makes one of all
    outputs.
    """
    refusals, asked = [], dict[str, tuple[str, int]]()
    parts = experiment.loss_parts
    for game in experiment.games:
        wanted: int = getattr(experiment.loss(game.name), "logits", 1)
        part = label(parts[game.name if game.name in parts else ""])
        if game.logits is not None and wanted > 1:
            why = (
                f"it compares {wanted} logits a sample, and the game {game.name!r} makes one logit of all that the "
                "discriminator returns"
            )
            refusals.append(Diagnostic(part, why, "a loss on one logit, such as non-saturating"))
        other, before = asked.setdefault(game.discriminator, (game.name, wanted))
        if before != wanted:
            why = (
                f"it wants {wanted} logits a sample in the game {game.name}, and the loss of the game {other}, which "
                f"has the same discriminator, wants {before}"
            )
            refusals.append(Diagnostic(part, why, "losses on equally many logits for the two games"))
        experiment.description.networks[game.discriminator].interface.logits = wanted
    return refusals
