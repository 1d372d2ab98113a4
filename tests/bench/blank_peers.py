"""What the masked language model is compared with: an n-gram model of words that sees both sides of a blank.

By Bayes' rule p(w | left, right) is proportional to p(w | left) p(right | left, w), and under a model of order n only
the n - 1 words after the blank depend on w. Unusual here: one walk down the n-grams' trie scores a line with every word
of the vocabulary in its blank at once. Nodes that the candidate is part of are arrays with one entry a candidate, all
others have one entry, so the parts that the candidates share are looked up once.
"""

from __future__ import annotations

import numpy as np

from generators.core.discounts import tuned_discounts
from generators.core.kneser_ney import UNKNOWN, Floats, Ints, KneserNey


def fitted(symbols: Ints, size: int, order: int) -> KneserNey:
    """The n-grams of a text's symbols (N,), their discounts tuned on a piece of it."""
    sequence = np.append(size, symbols)
    discounts = tuned_discounts(sequence, False, {"size": size, "starts": 1, "order": order})
    return KneserNey.fit(sequence, size=size, starts=1, order=order, discounts=discounts)


def extended(model: KneserNey, contexts: list[Ints], symbols: int | Ints) -> tuple[Floats, list[Ints]]:
    """The probabilities of `symbols` after `contexts`, and the contexts after them.

    contexts: the nodes of the last 0, 1, ... symbols, (C,) or (1,) where the candidates share it; -1: never seen.
    """
    p: Floats = np.atleast_1d(model.floor[symbols])
    longer = [np.zeros(1, dtype=np.int64)]
    for level, context in zip(model.levels, contexts, strict=False):
        nodes = level.find(context * (model.size + model.starts) + symbols)  # a parent of -1 has no key
        weights = np.where(nodes >= 0, level.weights[nodes], 0.0)
        p = np.where(context >= 0, level.backoff[context] * p + weights, p)
        longer.append(nodes)
    return p, longer[: model.order]


def log_posterior(model: KneserNey, sequence: Ints, place: int, after: int) -> Floats:
    """(size,) nats: log p(word | the words before it and the `after` words after it), at `place` of a sequence (N,).

    Exact for the model if `after` is its order less 1 (more adds a constant); 0 sees the left side only. It sums to 1
    over the known words: an unknown one is never guessed, but may stand beside the blank.
    """
    contexts = [np.zeros(1, dtype=np.int64)]
    for symbol in sequence[max(0, place - model.order + 1) : place]:
        contexts = extended(model, contexts, int(symbol))[1]
    p, contexts = extended(model, contexts, np.arange(model.size))
    joint = np.log(p)
    for symbol in sequence[place + 1 : place + 1 + after]:
        p, contexts = extended(model, contexts, int(symbol))
        joint = joint + np.log(p)
    joint[UNKNOWN] = -np.inf
    joint -= joint.max()
    return joint - np.log(np.exp(joint).sum())


def score(model: KneserNey, sequence: Ints, places: range, after: int) -> dict[str, float]:
    """`BERT.score`'s figures for the words at `places`, each hidden alone; unknown words are missed at its price."""
    nats, ranks = np.empty(len(places)), np.empty(len(places))
    for i, place in enumerate(places):
        said = sequence[place]
        guesses = log_posterior(model, sequence, place, after)
        nats[i] = np.log(model.size) if said == UNKNOWN else -guesses[said]
        ranks[i] = np.count_nonzero(guesses > guesses[said])
    known = sequence[places.start : places.stop] != UNKNOWN
    top = {f"top_{k}": float((known & (ranks < k)).mean()) for k in (1, 5)}
    return {"masked_nats_per_word": float(nats.mean()), **top, "n": float(len(places))}
