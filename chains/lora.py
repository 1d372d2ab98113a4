"""A LoRA adapter merged into its base: one more set of weights, but no slower than the base."""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chains.weights import ADAPTER_FILE, SOURCE_FILE, base_sha256


def merged(base: Any, folder: Path, adapter: Path) -> Any:
    """A copy of `base` with the LoRA adapter's products added to its weights, in float32 (Hu et al. 2021, eq. 3).

    Warns if the adapter was trained on another base; ValueError if it is not plain LoRA or does not fit.
    """
    import torch
    from safetensors.torch import load_file

    try:
        config: Mapping[str, Any] = json.loads((adapter / "adapter_config.json").read_text())
        tensors = load_file(adapter / ADAPTER_FILE)
    except (OSError, ValueError) as error:
        raise ValueError(f"{adapter} is not a LoRA adapter in peft's format: {error}") from error
    unsupported = [key for key in ("use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern") if config.get(key)]
    if config.get("peft_type", "LORA") != "LORA" or unsupported:
        raise ValueError(f"{adapter}: only plain LoRA can be merged, not {unsupported or config.get('peft_type')}")
    note = adapter / SOURCE_FILE
    if note.is_file() and json.loads(note.read_text()).get("base_sha256") != base_sha256(folder):
        warnings.warn(f"the adapter {adapter} was trained on other weights than {folder}", stacklevel=2)

    rank = int(config["r"])
    scale = float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)
    model = copy.deepcopy(base, {id(weight): weight for weight in base.parameters()})  # shares what is not adapted
    prefix, suffix = "base_model.model.", ".lora_A.weight"
    names = [name.removeprefix(prefix).removesuffix(suffix) for name in tensors if name.endswith(suffix)]
    if not names or len(tensors) != 2 * len(names):
        raise ValueError(f"{adapter}: holds other tensors than pairs of lora_A and lora_B")
    for name in names:
        down, up = (tensors[f"{prefix}{name}.lora_{part}.weight"] for part in "AB")  # (r, in), (out, r)
        try:
            module = model.get_submodule(name)
            product = (up.float() @ down.float()).to(module.weight.device) * scale
            weight = (module.weight.float() + product).to(module.weight.dtype)  # (out, in)
            module.weight = torch.nn.Parameter(weight, requires_grad=False)
        except (AttributeError, RuntimeError) as error:
            raise ValueError(f"the adapter {adapter} does not fit {folder}: {name}: {error}") from error
    return model


def taught(adapter: Path | None) -> frozenset[str]:
    """What an adapter was taught, as its note says: "calls", "replies" that use a tool's result, and "citing" it."""
    note = adapter / SOURCE_FILE if adapter else None
    if note is None or not note.is_file():
        return frozenset()
    return frozenset(json.loads(note.read_text()).get("teaches", ("calls",)))
