"""Texts as rows of word numbers: what the data sets with captions have in common."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

FILL, UNKNOWN = 0, 1  # no word, and a word that the vocabulary lacks
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters: letters and digits, an apostrophe within a word."""
    return _WORD.findall(text.lower())


class Vocabulary:
    """Words and their numbers, from 2 on. ``words[number]`` is the word."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = ["", "?", *words]
        self._number = {word: number for number, word in enumerate(self.words) if number > UNKNOWN}

    @classmethod
    def of(cls, texts: Iterable[str], most: int) -> Vocabulary:
        """The most frequent words of some texts; of equally frequent ones, the first by the alphabet."""
        counts = Counter(word for text in texts for word in words_of(text))
        return cls([word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: Sequence[str], length: int) -> Tensor:
        """(N, length) int64: the numbers of the first words, then 0."""
        rows = torch.full((len(texts), length), FILL)
        for row, text in zip(rows, texts):
            numbers = [self._number.get(word, UNKNOWN) for word in words_of(text)[:length]]
            row[: len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
        return rows

    def decode(self, row: Tensor) -> str:
        """The words of one row (T,)."""
        return " ".join(self.words[number] for number in row.tolist() if number != FILL)
