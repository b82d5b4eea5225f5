"""What authors of plugins do wrong: one message each, with the plugin, the place and the way out, and exit code 1."""

import pytest
from plugin_sources import LOSS, NETWORK, SAMPLER, TRICK, event

# What is wrong: (kind, what the class says, what the message says). mine.py:N is the place in the author's file.
MISTAKES = {
    "a constructor raises": (
        "trick",
        TRICK.format(body="    def __init__(self):\n        raise RuntimeError('no luck')"),
        ["trick.mine (", "mine.py) in __init__: RuntimeError: no luck", "mine.py:8 in __init__: raise RuntimeError"],
    ),
    "an event raises": (
        "trick",
        TRICK.format(body=event("losses", "raise KeyError('lost')")),
        ["trick.mine (", "in losses: KeyError: 'lost'", "mine.py:9 in losses: raise KeyError('lost')", "--debug"],
    ),
    "an event raises in torch": (
        "trick",
        TRICK.format(body=event("losses", "torch.zeros(2) @ torch.zeros(3)")),
        ["trick.mine (", "in losses: RuntimeError: inconsistent tensor size", "mine.py:9 in losses: torch.zeros(2) @"],
    ),
    "the constructor ends the process": (
        "trick",
        TRICK.format(body="    def __init__(self):\n        import sys; sys.exit(0)"),
        ["trick.mine (", "in __init__: it calls sys.exit(0)", "raise an error instead", "mine.py:8"],
    ),
    "an event ends the process": (
        "trick",
        TRICK.format(body=event("losses", "import sys; sys.exit()")),
        ["trick.mine (", "in losses: it calls sys.exit()", "mine.py:9"],
    ),
    "an event ends the process at once": (
        "trick",
        TRICK.format(body=event("losses", "import os; os._exit(0)")),
        ["trick.mine (", "in losses: it calls os._exit(0)", "mine.py:9"],
    ),
    "the constructor ends the process at once": (
        "trick",
        TRICK.format(body="    def __init__(self):\n        import os; os._exit(0)"),
        ["trick.mine (", "in __init__: it calls os._exit(0)", "mine.py:8"],
    ),
    "the import ends the process": (
        "trick",
        "'A mistake.'\nimport sys\nsys.exit(0)\n",
        ["mine.py:3: it calls sys.exit(0)"],
    ),
    "the import ends the process at once": (
        "trick",
        "'A mistake.'\nimport os\nos._exit(0)\n",
        ["mine.py:3: it calls os._exit(0)", "mine.py cannot be imported"],
    ),
    "the import raises": ("trick", "'A mistake.'\n1 / 0\n", ["mine.py:2: ZeroDivisionError", "cannot be imported"]),
    "no Python": ("trick", "class Mine(\n", ["mine.py:1: '(' was never closed", "cannot be imported"]),
    "a NUL character": ("trick", "'A mistake.'\nx = '\0'\n", ["mine.py:2: the file holds a NUL character"]),
    "no components": ("trick", "'A mistake.'\n", ["mine.py: no components: write a function ganrun_components"]),
    "endless components": (
        "trick",
        TRICK.format(body="").replace("    yield", "    while True: yield"),
        ["mine.py: ganrun_components yields more than 1000 components; does it ever end?"],
    ),
    "an unknown kind": (
        "trick",
        TRICK.format(body="").replace('"trick"', '"tricks"'),
        ['mine.py: ganrun_components yields a wrong Component: "tricks" is no kind of plugin; did you mean "trick"?'],
    ),
    "a name that is taken": (
        "trick",
        TRICK.format(body="").replace('"mine"', '"ema"'),
        ["trick.ema is provided by both ganrun", "mine.py; rename the one in the file"],
    ),
    "no docstring": (
        "trick",
        TRICK.format(body="").removeprefix('"A mistake."\n'),
        ["trick.mine: ", "mine.py:1: the module has no docstring; its first line is the summary"],
    ),
    "a misspelt event": (
        "trick",
        TRICK.format(body=event("losess", "pass")),
        ["trick.mine: ", 'mine.py:7: Mine.losess: no event is called losess; did you mean "losses"?'],
    ),
    "a misspelt argument": (
        "trick",
        TRICK.format(body=event("losses", "pass", "trun")),
        ["mine.py:7: Mine.losses: the event has no parameter trun; it has (turn)", 'did you mean "turn"?'],
    ),
    "an event without its mark": (
        "trick",
        TRICK.format(body="    def losses(self, turn): pass"),
        ["mine.py:7: Mine.losses: named like an event but not marked @hookimpl", "mark or rename it"],
    ),
    "a positional parameter": (
        "trick",
        TRICK.format(body="    def __init__(self, weight=1.0): pass"),
        ["mine.py:7: Mine: a trick is given 0 positional arguments, but takes weight; put a * before"],
    ),
    "a method is missing": (
        "loss",
        LOSS.format(body="").replace("def generator", "def generators"),
        ["loss.mine: ", "Mine lacks generator(self, round: Round) -> Mapping[Stream, Tensor], which the core calls"],
    ),
    "an attribute is missing": (
        "loss",
        LOSS.format(body="").replace("real_in_generator = False", "pass"),
        ["loss.mine (", "expected real_in_generator, which the core asks it for; it has none"],
    ),
    "another signature": (
        "sampler",
        SAMPLER.format(body="    def sample(self, draws, n, space): return draws.normal('z', n, space.size)"),
        [
            "sampler.mine (",
            "in sample: TypeError: Mine.sample() takes 4 positional arguments but 5 were given",
            "mine.py:6",
        ],
    ),
    "a scalar for a mapping": (
        "loss",
        LOSS.format(body="    def discriminator(self, round): return sum(s.logits.mean() for s in round.streams)"),
        [
            "loss.mine (",
            "in discriminator: expected a mapping stream -> values",
            "got a tensor of shape (), float32",
            "py:10",
        ],
    ),
    "scalars for values": (
        "loss",
        LOSS.format(body="    def generator(self, round): return {s: s.logits.mean() for s in round.of('fake')}"),
        [
            "loss.mine (",
            "in generator: expected values (B, ...) for the fake stream",
            "got a tensor of shape ()",
            "py:10",
        ],
    ),
    "detached values": (
        "loss",
        LOSS.format(body="    def generator(self, round): return {s: s.logits.detach() for s in round.of('fake')}"),
        ["loss.mine (", "in generator: expected values that depend on the logits", "got detached ones", "mine.py:10"],
    ),
    "a vector as a term": (
        "trick",
        TRICK.format(body=event("losses", "turn.add('rows', turn.made['x'].mean(1))")),
        [
            "trick.mine (",
            "in losses: TypeError: turn.add('rows', value): expected one number",
            "got a tensor of shape (8,)",
        ],
    ),
    "detached fakes": (
        "trick",
        TRICK.format(body=event("generated", "for s in turn.rounds[0].of('fake'): s.x = s.x.detach()")),
        [
            "trick.mine (",
            "in generated: expected fakes whose gradient reaches the generator; got detached ones",
            "py:7",
        ],
    ),
    "a detached call": (
        "trick",
        TRICK.format(body=event("corrupt", "call.x = call.x.detach()", "turn, call")),
        ["trick.mine (", "in corrupt: expected call.x that depends on what it was; got detached ones", "mine.py:7"],
    ),
    "an augmentation of another shape": (
        "trick",
        TRICK.format(body=event("augment", "call.x = call.x[:, :1]", "turn, call")),
        [
            "trick.mine (",
            "in augment: expected call.x of shape (8, 2), as before; got a tensor of shape (8, 1), float32",
        ],
    ),
    "latents of another shape": (
        "sampler",
        SAMPLER.format(
            body="    def sample(self, draws, purpose, n, space): return draws.normal(purpose, n, space.size + 1)"
        ),
        [
            "sampler.mine (",
            "in sample: expected a tensor of shape (8, 4); got a tensor of shape (8, 5), float32",
            "py:6",
        ],
    ),
    "a generator of another shape": (
        "generator",
        NETWORK.format(body="    def forward(self, x): return self.layer(x)[:, :1]", kind="generator"),
        ["generator.mine (", "in forward: expected a tensor of shape (2, 2) from 2 rows; got a tensor of shape (2, 1)"],
    ),
    "a discriminator that returns a tensor": (
        "discriminator",
        NETWORK.format(body="    def forward(self, x): return self.layer(x)", kind="discriminator"),
        ["discriminator.mine (", "in forward: expected a DiscriminatorOutput", "got a tensor of shape (8, 1)", "py:11"],
    ),
    "logits of the whole batch": (
        "discriminator",
        NETWORK.format(
            body="    def forward(self, x): return DiscriminatorOutput(self.layer(x).mean(0))", kind="discriminator"
        ),
        ["discriminator.mine (", "in forward: expected logits of shape (8, ...); got a tensor of shape (1,), float32"],
    ),
    "a discriminator that raises": (
        "discriminator",
        NETWORK.format(body="    def forward(self, x): return self.layer(x.T)", kind="discriminator"),
        ["discriminator.mine (", "in forward: RuntimeError: mat1 and mat2 shapes cannot be multiplied", "mine.py:11"],
    ),
    "state that cannot be saved": (
        "trick",
        TRICK.format(
            body="    def state_dict(self): return {'f': {1: object()}}\n    def load_state_dict(self, state): pass"
        ),
        ["trick.mine (", "in state_dict: expected a tree of dicts", "got an object at ['f'][1]", "mine.py:7"],
    ),
    "state that cannot be loaded": (
        "trick",
        TRICK.format(body="    def state_dict(self): return {}"),
        ["trick.mine: ", "Mine has state_dict, but no load_state_dict(self, state)"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_message_that_names_the_plugin(ganrun, write_recipe, tmp_path, mistake):
    kind, source, said = MISTAKES[mistake]
    (tmp_path / "mine.py").write_text(source)
    part = {"tricks": ["mine"]} if kind == "trick" else {kind: "mine"}
    code, out, err = ganrun("recipe", write_recipe(**part), "--plugin", "mine.py")
    assert code == 1
    assert [text for text in said if text not in err] == [], err
    assert "Traceback" not in out + err
    assert len(err.splitlines()) <= 6
    assert max(map(len, err.splitlines())) < 400
