"""Several n-gram models over one alphabet as one: p = sum over k of w_k p_k, fixed weights (Jelinek & Mercer 1980).

It does all that `KneserNey` does, so that who uses counts need not know whether they are one model's or several'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from generators.core.arrays import under
from generators.core.errors import CheckpointError
from generators.core.kneser_ney import Floats, Ints, KneserNey


class Interpolated:
    """n-gram models `parts` over their own alphabets, `weights` (K,) that sum to 1, and `symbols`: for each part the
    number of each of its symbols among all `size`, increasing; start symbols follow.
    """

    def __init__(self, parts: Sequence[KneserNey], symbols: Sequence[Ints], weights: Floats, size: int) -> None:
        self.parts, self.symbols, self.weights, self.size = list(parts), list(symbols), weights, size
        self.wide = [part.widened(places, size) for part, places in zip(parts, symbols, strict=True)]
        self.starts = parts[0].starts

    @property
    def order(self) -> int:
        """The longest n-gram's length."""
        return max(part.order for part in self.parts)

    @property
    def nodes(self) -> int:
        """How many counts are stored."""
        return sum(part.nodes for part in self.parts)

    def log_probs(self, sequence: NDArray[Any]) -> Floats:
        """As `KneserNey.log_probs`."""
        logs = np.stack([part.log_probs(sequence) for part in self.wide])
        total: Floats = np.logaddexp.reduce(np.log(self.weights)[:, None] + logs, axis=0)
        return total

    def shares(self, sequence: NDArray[Any]) -> Floats:
        """As `KneserNey.shares`."""
        found = np.zeros((self.order + 1, len(sequence)))
        for weight, part in zip(self.weights, self.wide, strict=True):
            found[: part.order + 1] += weight * np.exp(part.log_probs(sequence)) * part.shares(sequence)
        found /= found.sum(0)
        return found

    def distributions(self, sequence: NDArray[Any], part: int = 20_000) -> NDArray[np.float32]:
        """As `KneserNey.distributions`."""
        found = np.zeros((len(sequence), self.size), np.float32)
        for weight, one in zip(self.weights, self.wide, strict=True):
            found += np.float32(weight) * one.distributions(sequence, part)
        return found

    def context(self, symbols: list[int]) -> list[list[int]]:
        """That of each part."""
        return [part.context(symbols) for part in self.wide]

    def extend(self, context: list[list[int]], symbol: int) -> list[list[int]]:
        """That of each part after one more symbol."""
        return [part.extend(one, symbol) for part, one in zip(self.wide, context, strict=True)]

    def distribution(self, context: list[list[int]], longest: int | None = None) -> Floats:
        """(size,) the next symbol's probabilities; they sum to 1."""
        found = np.zeros(self.size)
        for weight, part, one in zip(self.weights, self.wide, context, strict=True):
            found += weight * part.distribution(one, longest)
        return found

    def knows(self, symbols: list[int]) -> bool:
        """Whether one of the parts does."""
        return any(part.knows(symbols) for part in self.wide)

    def familiarity(self, symbols: list[int]) -> float:
        """That of the part that knows most of it."""
        return max(part.familiarity(symbols) for part in self.wide)

    def followers(self, symbol: int) -> NDArray[np.bool_] | None:
        """Which symbols came after a start symbol in any of the parts."""
        found = [part.followers(symbol) for part in self.wide]
        known = [each for each in found if each is not None]
        return np.logical_or.reduce(known) if len(known) == len(found) else None

    @property
    def lookbacks(self) -> list[int]:
        """One symbol less far each time."""
        return max((part.lookbacks for part in self.parts), key=len)

    def counted_at(self, sequence: NDArray[Any]) -> tuple[Ints, Ints]:
        """As `KneserNey.counted_at`, the sums over the parts."""
        found = [part.counted_at(sequence) for part in self.wide]
        counts, totals = (np.zeros((self.order, len(sequence)), np.int64) for _ in range(2))
        for part_counts, part_totals in found:
            counts[: len(part_counts)] += part_counts
            totals[: len(part_totals)] += part_totals
        return counts, totals

    def followed_by(self, symbols: list[int], most: int) -> tuple[int, list[tuple[int, int]]]:
        """As `KneserNey.followed_by`, the counts of all parts whose longest known n-gram is as long."""
        found = [part.followed_by(symbols, self.size) for part in self.wide]
        longest, sums = max(length for length, _ in found), Counter[int]()
        for length, counts in found:
            if length == longest:
                sums.update(dict(counts))
        return longest, sums.most_common(most)

    def state(self) -> dict[str, NDArray[Any]]:
        """As compact arrays."""
        found: dict[str, NDArray[Any]] = {"weights": self.weights, "size": np.asarray([self.size])}
        for k, (part, places) in enumerate(zip(self.parts, self.symbols, strict=True)):
            found |= {f"{k}.{name}": array for name, array in part.state().items()}
            found[f"{k}.places"] = places.astype(np.uint32)
        return found

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]]) -> Self:
        """The model back from `state()`. Raises `CheckpointError` where the arrays do not fit together."""
        try:
            weights, size = state["weights"].astype(np.float64), int(state["size"][0])
            each = [under(f"{k}.", state) for k in range(len(weights))]
            parts = [KneserNey.from_state(one) for one in each]
            return cls(parts, [one["places"].astype(np.int64) for one in each], weights, size)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise CheckpointError(f"The model's counts do not fit together ({error}); merge it again.") from error


Counts = KneserNey | Interpolated


def counts_from(state: dict[str, NDArray[Any]]) -> Counts:
    """Whichever of the two was stored. Raises `CheckpointError`."""
    return (Interpolated if "weights" in state else KneserNey).from_state(state)
