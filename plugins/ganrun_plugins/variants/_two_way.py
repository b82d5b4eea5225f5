"""What translations a -> b and b -> a share: a discriminator each, and the way back."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganrun.plugin import (
    Description,
    Game,
    Interface,
    Network,
    Phase,
    Player,
    Refusal,
    Role,
    Scheduled,
    Space,
    Stream,
    Turn,
)


class TwoWay:
    """Generators ``generator_ab`` and ``generator_ba``, games ``a`` and ``b``.

    Made are ``b`` and ``a``, and, in a generator's turn, the way back: ``rec_a`` and ``rec_b``; (B, C, H, W) each.
    ``adversarial`` is the weight of the games in the generators' turns.
    """

    adversarial: Scheduled

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with entries ``a`` and ``b``: images."""
        if not {"a", "b"} <= set(spaces):
            raise Refusal(
                "this variant translates between the entries 'a' and 'b' of the data, "
                f"and the data set has {', '.join(sorted(spaces)) or 'none'}",
                "take a data set of two domains, such as unpaired-folders",
            )
        a, b = spaces["a"], spaces["b"]
        weight: dict[str, float | Scheduled] = {"discriminator": 0.5, "generator": self.adversarial}
        return Description(
            networks={
                "generator_ab": Network("generator", Interface(takes=a, makes=b)),
                "generator_ba": Network("generator", Interface(takes=b, makes=a)),
                "discriminator_a": Network("discriminator", Interface(takes=a)),
                "discriminator_b": Network("discriminator", Interface(takes=b)),
            },
            players=[
                Player("generator", ["generator_ab", "generator_ba"]),
                Player("discriminator", ["discriminator_a", "discriminator_b"]),
            ],
            phases=[Phase("generator", "generator"), Phase("discriminator", "discriminator")],
            games=[
                Game(
                    "b", "discriminator_b", player="discriminator", against=["generator"], space=b.kind, weight=weight
                ),
                Game(
                    "a", "discriminator_a", player="discriminator", against=["generator"], space=a.kind, weight=weight
                ),
            ],
            outputs=("b", "a"),
            pairs={"rec_a": "a", "rec_b": "b"},
            shared_batch=True,
            conditional=True,
        )

    def sample(self, turn: Turn) -> None:
        """There is no latent: a translation is a function of its input."""

    def make(self, turn: Turn) -> None:
        turn.made["b"] = turn.modules["generator_ab"](turn.real["a"])
        turn.made["a"] = turn.modules["generator_ba"](turn.real["b"])
        if turn.player == "generator":  # the way back; discriminators need the fakes alone
            self._translate_back(turn)

    def _translate_back(self, turn: Turn) -> None:
        turn.made["rec_a"] = turn.modules["generator_ba"](turn.made["b"])
        turn.made["rec_b"] = turn.modules["generator_ab"](turn.made["a"])

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        return {domain: self._pair(turn, domain) for domain in ("b", "a")}

    def _pair(self, turn: Turn, domain: str) -> list[Stream]:
        roles: list[Role] = ["real", "fake"]
        samples = {"real": turn.real, "fake": turn.made}
        return [Stream(samples[role][domain], role) for role in roles if turn.wants(domain, role)]

    def panels(self, turn: Turn) -> dict[str, dict[str, Tensor]]:
        if "rec_a" not in turn.made:
            self._translate_back(turn)
        real, made = turn.real, turn.made
        return {
            "a to b": {"a": real["a"], "to b": made["b"], "back": made["rec_a"]},
            "b to a": {"b": real["b"], "to a": made["a"], "back": made["rec_b"]},
        }
