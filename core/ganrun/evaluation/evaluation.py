"""What evaluators see: fakes, real samples and features, each computed once and shared, in any number of processes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ganrun import files
from ganrun.contracts.protocols import Dataset, Evaluator, Features
from ganrun.data import image_grid
from ganrun.data.order import sample_rows
from ganrun.data.reader import read_items
from ganrun.distributed import Processes
from ganrun.errors import UserError
from ganrun.evaluation.feature_store import FeatureStore
from ganrun.evaluation.features import FeatureContext, kept_under
from ganrun.evaluation.least import LIMIT
from ganrun.evaluation.pieces import Pieces
from ganrun.evaluation.requested import Requested
from ganrun.evaluation.shared_work import Sharing
from ganrun.evaluation.sources import KEY, Generated, SampleSource, Stored, loaded, real_rows, stored
from ganrun.evaluation.statistics import Statistics
from ganrun.recipe import Part
from ganrun.sampling.sampling import SampleMaker
from ganrun.words.game import Description
from ganrun.words.located import located
from ganrun.words.spaces import Space

if TYPE_CHECKING:
    from PIL import Image


class Evaluation:
    """The samples of one moment, and real ones.

    Samples are float32 on the CPU; images are in [-1, 1], of the levels that they have when they are saved (256).

    ``samples`` is how many fakes the evaluator that runs now was given in the recipe, None if it names no number. Where
    samples lie in a folder, ``sample_maker`` is None: there is no generator. With several processes only the main one
    runs evaluators, and the others make their share of what it asks for. ``evaluators`` are those that run one after
    the other on the same samples, so that several which need the same work can do it once. ``data`` is the data set as
    a recipe writes it.

    Real samples, and fakes, come in an order in which any first n are a fair draw: see :func:`sample_rows`.
    """

    def __init__(
        self,
        source: SampleSource,
        dataset: Callable[[str], Dataset],
        cache: Path,
        *,
        seed: int = 0,
        folder: Path | None = None,
        base: Path = Path(),
        processes: Processes | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.source = source
        self.dataset = dataset
        self.cache = cache
        self.seed = seed
        self.folder = folder
        self.base = base
        self.data = source.data if data is None else data
        self.sample_maker: SampleMaker | None = source.sample_maker if isinstance(source, Generated) else None
        self.samples: int | None = None
        self.evaluators: Sequence[Evaluator] = ()
        self.evaluator = ""
        self.step = 0
        self.requested = Requested()
        self._pieces = Pieces(self)
        self._sharing = Sharing(processes, self._pieces.of)
        self._store = FeatureStore(cache / "features")
        self._real: dict[tuple[str, str, int], Tensor] = {}
        self._features: dict[str, Features] = {}
        self._vectors: dict[tuple[Any, ...], Tensor] = {}
        self._statistics: dict[tuple[Any, ...], Statistics] = {}
        self._hashes: dict[int, str] = {}  # by id: extractors and data sets live as long as this does

    @property
    def description(self) -> Description:
        """What the samples are: which outputs there are, and whether they are made from real items."""
        return self.source.description

    @property
    def spaces(self) -> Mapping[str, Space]:
        """The space of each entry of the data."""
        return self.source.spaces

    @property
    def output(self) -> str:
        """The first entry of the data that the variant imitates: what evaluators score by default."""
        return self.description.outputs[0]

    def forget_fakes(self) -> None:
        """Drop what the networks made: called when they have changed."""
        self._pieces.made.clear()
        self._vectors = {key: value for key, value in self._vectors.items() if key[2] != "fake"}

    # --- samples ------------------------------------------------------------------------------------------------

    def count(self, name: str | None = None) -> int:
        """How many fakes to score: the recipe's number, else as many as there are test samples, at most 10,000."""
        if self.samples is not None and not self.description.conditional:
            return self.samples  # whether there is a test split or not
        most = len(self.source.dataset if isinstance(self.source, Stored) else self.dataset("test"))
        wanted = self.samples if self.samples is not None else min(most, LIMIT)
        return min(wanted, most) if self.description.conditional else wanted

    def real_count(self, split: str = "test", n: int | None = None) -> int:
        """How many real samples to compare with: n, else all, at most 10,000 or as many as fakes are scored."""
        return min(n or max(LIMIT, self.samples or 0), len(self.dataset(split)))

    def fakes(self, name: str | None = None, n: int | None = None) -> Tensor:
        """n samples of an entry, (n, \\*space.shape), the same ones whenever they are asked for."""
        name, n = name or self.output, n or self.count(name)
        self._note_fakes(n)
        return loaded(self._sharing.ask(("samples", name, n), n))

    def real(self, name: str | None = None, split: str = "test", n: int | None = None) -> Tensor:
        """Real samples of an entry: as many as :meth:`real_count` says, a fair draw. Labels are int64."""
        name, n = name or self.output, self.real_count(split, n)
        self._note_real(split, n)
        if (name, split, n) not in self._real:
            pieces: dict[str, list[Tensor]] = {}
            for _, items in real_rows(self.dataset(split), n):
                for entry, x in items.items():
                    pieces.setdefault(entry, []).append(
                        stored(x, self.dataset(split), entry) if x.is_floating_point() else x.cpu()
                    )
            for entry, some in pieces.items():
                self._real[entry, split, n] = torch.cat(some)
        return loaded(self._real[name, split, n])

    def labels(self, name: str | None = None, split: str = "test", n: int | None = None) -> Tensor | None:
        """The labels (n,) int64 of the same real samples, None if they have none."""
        spaces = self.dataset(split).spaces
        entries = [entry for entry, space in spaces.items() if space.kind == "labels" and not space.shape]
        entry = "label" if "label" in entries else next(iter(entries), None)
        return None if entry is None else self.real(entry, split, n).long()

    def items(self, split: str, rows: Sequence[int]) -> Mapping[str, Tensor]:
        """Real samples by their numbers, entry -> (n, ...), as they are when their features are taken."""
        (found,) = read_items(self.dataset(split), self.rows(split, rows), rows=len(rows), key=KEY)
        return found

    def rows(self, split: str, places: Sequence[int]) -> np.ndarray:
        """The numbers of samples (n,) -> those that the data set gives the same items, (n,) int64."""
        return sample_rows(self.dataset(split), places)

    def hidden_pairs(self, n: int | None = None) -> dict[str, Tensor]:
        """n of the true counterparts that the test split hides, all by default: entry -> (n, ...), and ``label`` (n,).

        A fair draw, row by row; images in [-1, 1]. Empty if the data hide none.
        """
        from ganrun.evaluation.pairs import hidden_pairs

        return hidden_pairs(self, n)

    def inferred(
        self, name: str, split: str = "test", n: int | None = None, *, networks: Mapping[str, nn.Module] | None = None
    ) -> Tensor:
        """What the networks infer of n real items, (n, ...) float32.

        Class logits or encodings, as ``Description.infers`` says.

        networks: name -> a module that stands in for the run's own.

        Raises:
            UserError: where samples lie in a folder.
        """
        if self.sample_maker is None:
            raise UserError(
                "this score needs trained networks, and the samples are pictures in a folder; evaluate a run"
            )
        n = self.real_count(split, n)
        self._note_real(split, n)
        if networks is not None:
            rows = real_rows(self.dataset(split), n)
            return torch.cat([self.sample_maker.infer(items, networks=networks)[name] for _, items in rows])
        key = ("inferred", name, "fake", split, n)  # forgotten when the networks have changed
        if key not in self._vectors:
            self._vectors[key] = self._sharing.ask(("inferred", name, split), n)
        return self._vectors[key]

    def fake_labels(self, n: int | None = None, name: str | None = None) -> Tensor | None:
        """The class requested of each of n fakes, (n,) int64; None if there is none.

        A code is named as the data's labels are.

        ``name``: another latent of these fakes, such as the attributes requested, (n, A).
        """
        return self.source.fake_labels(n or self.count(), name) if isinstance(self.source, Generated) else None

    def generate(self, real: Mapping[str, Tensor], wanted: str) -> Tensor:
        """What the networks make of given real items, such as the translations of a batch.

        The entry ``wanted``, of the levels of saved images.

        Raises:
            UserError: where samples lie in a folder.
        """
        if not isinstance(self.source, Generated):
            raise UserError("this score needs a generator, and the samples are pictures in a folder; evaluate a run")
        self.requested.fakes.add(len(next(iter(real.values()))))
        return loaded(stored(self.source.generate(real, wanted), self.source, wanted))

    def between(self, pairs: int, points: int) -> Tensor | None:
        """(pairs, points, *shape) samples on the way between pairs of latents, ends included; None without a way."""
        self.requested.fakes.add(pairs * points)
        found = self.source.between(pairs, points) if isinstance(self.source, Generated) else None
        return None if found is None else loaded(stored(found, self.source, self.output))

    def pairs(self, n: int | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """Name -> (made, truth), images that ought to be equal, row by row; empty if there are none.

        See :mod:`ganrun.evaluation.pairs`.
        """
        from ganrun.evaluation.pairs import pairs_of

        return pairs_of(self, n)

    # --- features -----------------------------------------------------------------------------------------------

    def features(self, part: Part, name: str | None = None) -> Features:
        """The feature extractor of a part, for an entry of the data; built once a run."""
        name = name or self.output
        key = f"{name} {part.name} {part.parameters!r}"
        if key not in self._features:
            context = FeatureContext(
                name, self.spaces[name], self._to_train_on(), self.cache, self.source.device, self.base
            )
            self._features[key] = part.make(context)
        extract = self._features[key]
        about = {"hash": self.hash_of(extract), "preprocessing": getattr(extract, "preprocessing", "")}
        # an entry may have an extractor of its own
        place = part.name if name == self.output else f"{part.name} of {name}"
        self.requested.features[place] = {**part.as_recipe()[part.name], **about}
        return extract

    def prepare(self, part: Part, evaluator: Any = None) -> None:
        """Have the weights of an evaluator's extractors here, downloaded or trained, so that nothing is missing later.

        One that makes its extractors itself has a method ``prepare(evaluation)`` of its own.
        """
        with self.source.settings():
            if hasattr(evaluator, "prepare"):
                evaluator.prepare(self)
                return
            for inner in part.parameters.values():
                if isinstance(inner, Part) and inner.kind == "features":
                    of = part.parameters.get("of")
                    self.features(inner, of if of in self.spaces else None)

    def features_of(
        self, part: Part, which: str, name: str | None = None, split: str = "test", n: int | None = None
    ) -> Tensor:
        """Features (n, size) float32 of ``fake`` or ``real`` samples.

        Real ones are kept for the whole run, and on disk.
        """
        return self._vectors_of("features", part, which, name, split, n)

    def logits_of(
        self, part: Part, which: str, name: str | None = None, split: str = "test", n: int | None = None
    ) -> Tensor:
        """Class logits (n, K) float32 of a feature extractor that classifies, of ``fake`` or ``real`` samples."""
        return self._vectors_of("logits", part, which, name, split, n)

    def statistics_of(
        self, part: Part, name: str | None = None, split: str = "test", n: int | None = None
    ) -> Statistics:
        """Mean and covariance of the features of real samples, kept like them."""
        name = name or self.output
        n = self._note(part, "real", name, split, n)
        key = (part.name, repr(part.parameters), name, split, n)
        if key not in self._statistics:
            where = self._kept_under(part, name, split, n)
            kept = None if where is None else self._store.read(where, "statistics")
            found = (
                Statistics.of(self.features_of(part, "real", name, split, n))
                if kept is None
                else Statistics.from_tensors(kept)
            )
            if where is not None and kept is None:
                self._store.write(where, "statistics", found.tensors())
            self._statistics[key] = found
        return self._statistics[key]

    def reference(self, file: str, part: Part, name: str | None = None) -> Statistics:
        """What `ganrun reference` wrote to a file, relative to the recipe, in place of :meth:`statistics_of`.

        Raises:
            UserError: if it is not of these features, or of pictures of another shape.
        """
        from ganrun.evaluation.reference import reference

        return reference(self, self.path(file), part, name or self.output)

    def called(self, part: Part, evaluator: str, name: str | None = None) -> str:
        """What the field calls an evaluator's score on these features, such as FID, of images read as it reads them."""
        name = str(getattr(self.features(part, name), "called", {}).get(evaluator, ""))
        return "" if name and (getattr(self.source, "departs", False) or self.requested.departs()) else name

    def draw(self, name: str, picture: Image.Image) -> Path | None:
        """Keep a picture with the run, as ``evaluations/EVALUATOR-NAME-STEP.png``.

        Returns the file, None if there is no folder to keep it in.
        """
        if self.folder is None:
            return None
        path = self.folder / "evaluations" / f"{self.evaluator}-{name}-{self.step:07d}.png"
        try:
            return image_grid.save(picture, files.below(self.folder, str(path.relative_to(self.folder))))
        except OSError as error:  # a folder that is not to be written does not cost the scores
            warnings.warn(f"{path}: cannot be written ({error.strerror or error})", stacklevel=2)
            return None

    def path(self, text: str) -> Path:
        """A path that a recipe names: relative ones start at the recipe."""
        return located(self.base, text)

    def mark_of(self, split: str) -> str:
        """What tells the data of a split from others: their fingerprint, else the data set with its parameters."""
        dataset = self.dataset(split)
        return self.hash_of(dataset) or f"{json.dumps(self.data, sort_keys=True)}, {len(dataset)} items"

    def hash_of(self, thing: Any) -> str:
        """The fingerprint of a data set or an extractor, taken once; empty if it has none."""
        if id(thing) not in self._hashes:
            self._hashes[id(thing)] = thing.fingerprint() if hasattr(thing, "fingerprint") else ""
        return self._hashes[id(thing)]

    # --- several processes --------------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Iterator[bool]:
        """For all processes: the main one gets True and runs evaluators, the others help it until it is done."""
        with self.source.settings(), self._sharing.together() as leading:
            yield leading

    def _vectors_of(self, what: str, part: Part, which: str, name: str | None, split: str, n: int | None) -> Tensor:
        name = name or self.output
        count = self._note(part, which, name, split, n)
        key = (what, part.name, which, repr(part.parameters), name, split if which == "real" else "", count)
        if key not in self._vectors:
            where = self._kept_under(part, name, split, count) if which == "real" else None
            kept = None if where is None else self._store.read(where, what)
            found = self._sharing.ask((what, part, which, name, split), count) if kept is None else kept["x"]
            if where is not None and kept is None:
                self._store.write(where, what, {"x": found})
            self._vectors[key] = found
        return self._vectors[key]

    def _note(self, part: Part, which: str, name: str, split: str, n: int | None) -> int:
        """Note what is asked for. Returns the number of rows."""
        self.features(part, name)
        if which == "fake":
            count = n or self.count(name)
            self._note_fakes(count)
        else:
            count = self.real_count(split, n)
            self._note_real(split, count)
        return count

    def _note_fakes(self, n: int) -> None:
        self.requested.fakes.add(n)
        if self.description.conditional and isinstance(self.source, Generated):
            self.requested.given = len(self.dataset("test"))

    def _note_real(self, split: str, n: int) -> None:
        data = self.dataset(split)
        self.requested.real_samples(split, n, self.mark_of(split), len(data))
        self.requested.prepared[split] = data

    def _kept_under(self, part: Part, name: str, split: str, n: int) -> dict[str, Any] | None:
        """The key of real features on disk; None without a fingerprint of the data, or if computing is faster."""
        extract, data = self.features(part, name), self.dataset(split)
        if not getattr(extract, "keep", True) or not hasattr(data, "fingerprint"):
            return None
        key = kept_under(part, self.hash_of(extract), self.hash_of(data), data, name, n)
        return {**key, "split": split, "order": getattr(data, "order", "mixed")}

    def _to_train_on(self) -> Dataset:
        """The train split, which extractors may learn from; of a plain folder that has none, what there is."""
        if not isinstance(self.source, Stored):
            return self.dataset("train")
        try:
            return self.dataset("train")
        except UserError:
            return self.dataset("test")
