"""How a language model begins that goes on from another: with its weights, and rows for the symbols that are new.

A new character's row is the mean of those of the symbols known before (Hewitt 2021), a new kind's that of the kinds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from generators.core.errors import DataError
from generators.core.kneser_ney import UNKNOWN
from generators.core.lora import LowRank
from generators.data.splits import Splits, Texts

if TYPE_CHECKING:
    from generators.core.language_model import LanguageModel


def check_start(base: LanguageModel, splits: Splits[Texts]) -> None:
    """Raise ValueError for a base that is not stored, `DataError` for data of the other kind than it learnt from."""
    if not base.weights_sha256:
        raise ValueError("The model to go on from is not stored yet; call its save_pretrained first.")
    if base.items == splits.train.running:
        kinds = ("a running text", "a list of items")
        mine, other = kinds if splits.train.running else kinds[::-1]
        raise DataError(
            f"{splits.source.name} is {mine}, and {base.info.name} learnt from {other}; start from a model of the same "
            f"kind, or leave --from out."
        )


@torch.no_grad()
def start_from(base: LanguageModel, model: LanguageModel, seed: int) -> None:
    """Let `model`, whose vocabulary holds that of `base`, begin as `base`, with low-rank updates where its options say
    so; it also takes over which items are not new, and a note of where it comes from.
    """
    characters, symbols = len(base.vocabulary), len(base.vocabulary) + len(base.lengths) - 1
    places, known = _places(base, model, symbols), base.net.state_dict()
    for name, tensor in model.net.state_dict().items():
        old = known[name]
        if name in model.tables:
            means = torch.stack([old[UNKNOWN + 1 : characters].mean(0), old[characters:].mean(0)])
            old = torch.cat([old, means])[places]
        tensor.copy_(old)
    model.known = np.union1d(base.known, model.known)
    model.info.note_base(base)
    if model.config.lora:
        new = torch.nonzero(places >= symbols)[:, 0]
        inside = model.net.get_submodule(model.inside)
        model.net = LowRank(model.net, model.config.lora, inside, model.tables, new, seed)


def _places(base: LanguageModel, model: LanguageModel, symbols: int) -> Tensor:
    """Which of the `symbols` of `base` each one of `model` is, (N,); a new character is the next number, a new kind of
    item the one after that.
    """
    kinds = {name: len(base.vocabulary) + i for i, name in enumerate(base.info.labels or [""])}
    return torch.tensor(
        [
            UNKNOWN,
            *(base.vocabulary.symbols.get(token, symbols) for token in model.vocabulary.tokens[1:]),
            *(kinds.get(name, symbols + 1) for name in model.info.labels or [""]),
        ]
    )
