"""A LoRA adapter merged into its base is the base plus the adapter's products, and what peft makes of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from random_tools import tiny_llm
from safetensors.torch import save_file

from chains.engine import Engine
from chains.lora import merged
from chains.weights import base_sha256


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llm(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine(folder, dtype="float32", device="cpu")


def test_merging_adds_the_product(engine: Engine, folder: Path, tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.q_proj"
    weight = engine._base.get_submodule(name).weight
    up, down = torch.randn(weight.shape[0], 2), torch.randn(2, weight.shape[1])
    prefix = f"base_model.model.{name}"
    save_file({f"{prefix}.lora_A.weight": down, f"{prefix}.lora_B.weight": up}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 6}))
    (tmp_path / "artwright.json").write_text(json.dumps({"base_sha256": base_sha256(folder)}))
    tuned = merged(engine._base, folder, tmp_path)
    assert torch.allclose(tuned.get_submodule(name).weight, weight + 3 * up @ down, atol=1e-5)
    (tmp_path / "artwright.json").write_text(json.dumps({"base_sha256": "other"}))
    with pytest.warns(UserWarning, match="trained on other weights"):
        merged(engine._base, folder, tmp_path)
    with pytest.raises(ValueError, match="not a LoRA adapter"):
        merged(engine._base, folder, tmp_path / "none")


def test_peft_agrees_with_the_merge(engine: Engine, folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    base = engine._base
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
        get_peft_model(copy.deepcopy(base), config).save_pretrained(tmp_path)
    theirs = PeftModel.from_pretrained(copy.deepcopy(base), tmp_path).merge_and_unload()
    ours = merged(base, folder, tmp_path)
    tokens = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        assert torch.allclose(ours(tokens).logits, theirs(tokens).logits, atol=1e-3)
