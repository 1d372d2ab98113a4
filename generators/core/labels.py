"""Finding the label a person means, by spelling alone: case, plural, hyphens. Synonyms are the LLM's work."""

from __future__ import annotations

import re
from collections.abc import Sequence


def match_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that `text` spells, or None: `"Ankle Boots"` finds `ankle-boot`, `"T-Shirt"` finds `t-shirt`."""
    wanted = _spellings(text)
    for label in labels:
        if wanted & _spellings(label):
            return label
    return None


def _spellings(text: str) -> set[str]:
    plain = re.sub(r"[^\w]+", "", text.casefold().removeprefix("a ").removeprefix("an ").removeprefix("the ")).replace(
        "_", ""
    )
    found = {plain}
    if plain.endswith("ies") and len(plain) > 4:
        found.add(plain[:-3] + "y")
    if plain.endswith("es") and len(plain) > 3:
        found.add(plain[:-2])
    if plain.endswith("s") and not plain.endswith("ss") and len(plain) > 2:
        found.add(plain[:-1])
    return found
