"""The mean of adapters that were trained from one another: what they share stays, what one has by chance fades.

    python -m chains.tuning average ADAPTER ADAPTER ... --out DIR

A model soup (Wortsman et al. 2022, arXiv:2203.05482). Unusual here: LoRA's factors cannot be averaged, their products
can; the mean of the products is brought back to the rank of one by its singular value decomposition, which gives the
nearest matrix of that rank (Eckart and Young 1936) and loses the weakest directions. It is never written out whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chains.weights import ADAPTER_FILE, SOURCE_FILE, base_sha256

_DOWN, _UP = ".lora_A.", ".lora_B."


def average(folders: Sequence[Path], out: Path, base: Path) -> dict[str, Any]:
    """Writes the mean of the adapters in `folders`, the newest last, to `out` and returns its dev figures.

    Its note and card tell of the newest one's run, and of which runs it is the mean. `base` is their base model's
    folder. Raises ValueError if there are fewer than two, if `out` is one of them, or if they do not fit together.
    """
    from safetensors.torch import load_file

    from chains.tuning.recipe import RUN, Progress, Recipe, Trainer

    if len(folders) < 2:
        raise ValueError("a mean needs two adapters or more; name their folders")
    if out.resolve() in [folder.resolve() for folder in folders]:
        raise ValueError(f"{out} is one of the adapters; give the mean a folder of its own")
    own = base_sha256(base)
    notes = []
    for folder in folders:
        if not all((folder / file).is_file() for file in (ADAPTER_FILE, SOURCE_FILE)):
            raise ValueError(f"there is no adapter with its {SOURCE_FILE} in {folder}; name the --out of a run")
        notes.append(json.loads((folder / SOURCE_FILE).read_text(encoding="utf-8")))
        if notes[-1].get("base_sha256") != own:
            raise ValueError(f"{folder} was trained for another base model; name that one with --base")
    adapters = [load_file(folder / ADAPTER_FILE) for folder in folders]
    shapes = [{name: tensor.shape for name, tensor in adapter.items()} for adapter in adapters]
    if any(each != shapes[0] for each in shapes):
        raise ValueError("the adapters differ in rank or layers; average those of one shape")

    last = notes[-1]
    trainer = Trainer(base, out, Recipe(**last["recipe"]))
    trainer.progress = Progress(last["step"], 60 * last["minutes"], last["examples"], last["tokens"])
    trainer.earlier = last.get("earlier", [])
    trainer.set_weights(mean(adapters), "the mean")
    figures = trainer.dev()
    trainer.save_adapter(figures, mean_of=[{key: note[key] for key in RUN if key in note} for note in notes])
    return figures


def mean(adapters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Factors of the mean of the adapters' products, float32: A (rank, in) and B (out, rank) of each layer."""
    import torch

    found = {}
    for name in adapters[0]:
        if _DOWN not in name:
            continue
        other = name.replace(_DOWN, _UP)
        down = torch.cat([adapter[name].float() for adapter in adapters])  # (n rank, in)
        up = torch.cat([adapter[other].float() / len(adapters) for adapter in adapters], dim=1)  # (out, n rank)
        q_up, r_up = torch.linalg.qr(up)
        q_down, r_down = torch.linalg.qr(down.T)
        # of up @ down, in the bases q_up and q_down
        left, values, right = torch.linalg.svd(r_up @ r_down.T, full_matrices=False)
        rank = len(adapters[0][name])
        root = values[:rank].sqrt()
        found[name] = (root[:, None] * right[:rank]) @ q_down.T
        found[other] = (q_up @ left[:, :rank]) * root
    return found
