"""A GPT as a folder that transformers loads, and back: its own NanoChat model, a tokenizer of characters or byte pairs.

    from transformers import AutoModelForCausalLM, AutoTokenizer

    export(model, "folder")
    AutoModelForCausalLM.from_pretrained("folder"), AutoTokenizer.from_pretrained("folder")

The unknown symbol is `<unk>`, the start symbol of a list's kind `<kind>`; both are barred from what `generate` draws.
What transformers has no place for is lost on the way: which items of a list are known, and the share of the unknown.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from generators.core import checkpoint
from generators.core.arrays import as_stored
from generators.core.bpe import BPE, LEAST, UNKNOWN_TOKEN
from generators.core.errors import CheckpointError
from generators.core.generator import ModelInfo
from generators.core.vocabulary import Characters, Vocabulary

if TYPE_CHECKING:
    from generators.gpt import GPT

UNSEEN = 1e-6  # the unknown symbol's share of the probability in a model that came from elsewhere
PARTS = {  # ours -> transformers', within a block
    "attention.out.weight": "self_attn.o_proj.weight",
    "up.weight": "mlp.fc1.weight",
    "down.weight": "mlp.fc2.weight",
}


def export(model: GPT, folder: str | Path) -> Path:
    """Write config.json, model.safetensors and the tokenizer's files to `folder`, which it returns."""
    from transformers import NanoChatConfig, NanoChatForCausalLM

    from generators.core.layers import EPS, ROTARY_BASE
    from generators.gpt import CAP

    config, net = model.config, model.net
    symbols = net.symbols.num_embeddings
    barred = [0, *range(len(model.vocabulary), symbols)]
    theirs = NanoChatForCausalLM(
        NanoChatConfig(
            vocab_size=symbols,
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.context,
            rms_norm_eps=EPS,
            rope_parameters={"rope_type": "default", "rope_theta": ROTARY_BASE},
            final_logit_softcapping=CAP,
            bos_token_id=None,
            eos_token_id=model.vocabulary.symbols[model.end] if model.items else None,
            pad_token_id=None,
        )
    )
    theirs.load_state_dict(_theirs(net.state_dict(), model.config.heads))
    theirs.generation_config.suppress_tokens = barred
    theirs.save_pretrained(folder)
    _tokenizer(model).save_pretrained(folder)
    return Path(folder)


def _theirs(state: dict[str, Tensor], heads: int) -> dict[str, Tensor]:
    """The network's tensors under transformers' names."""
    found = {"model.embed_tokens.weight": state["symbols.weight"], "lm_head.weight": state["head.weight"]}
    for name, tensor in state.items():
        if name.startswith("blocks."):
            _, block, part = name.split(".", 2)
            if part == "attention.qkv.weight":
                for letter, rows in zip("qkv", tensor.chunk(3), strict=True):
                    if letter != "v":  # pairs that turn are neighbours here, half a head apart there
                        rows = rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)
                    found[f"model.layers.{block}.self_attn.{letter}_proj.weight"] = rows.contiguous()
            else:
                found[f"model.layers.{block}.{PARTS[part]}"] = tensor
    return found


def _tokenizer(model: GPT) -> Any:
    """A tokenizer of the model's symbols."""
    from transformers import PreTrainedTokenizerFast

    vocabulary = model.vocabulary
    starts = [f"<{kind}>" for kind in model.info.labels or ["start"]]
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=vocabulary.tokenizer if isinstance(vocabulary, BPE) else _of_characters(vocabulary),
        unk_token=UNKNOWN_TOKEN,
        additional_special_tokens=starts[: model.net.symbols.num_embeddings - len(vocabulary)],
        model_max_length=model.config.context,
        clean_up_tokenization_spaces=False,
    )


def _of_characters(vocabulary: Vocabulary) -> Any:
    """A tokenizer whose tokens are the characters."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    symbols = {UNKNOWN_TOKEN: 0, **vocabulary.symbols}
    whole = Tokenizer(models.WordLevel(symbols, unk_token=UNKNOWN_TOKEN))
    whole.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    whole.decoder = decoders.Fuse()
    return whole


def load_exported(folder: str | Path) -> GPT:
    """The GPT in a folder that `export` wrote, perhaps trained further by transformers since.

    Raises `CheckpointError` for a folder that holds another model, or a tokenizer of another kind.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, NanoChatForCausalLM

    from generators.codegpt import CodeGPT
    from generators.gpt import GPT

    try:
        theirs = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} holds no model that transformers can load ({error}).") from error
    if not isinstance(theirs, NanoChatForCausalLM) or theirs.config.intermediate_size != 4 * theirs.config.hidden_size:
        raise CheckpointError(f"{folder} holds a {theirs.config.model_type}, not a GPT that was exported from here.")
    symbols = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    starts = [token for token in tokenizer.all_special_tokens if token != tokenizer.unk_token]
    tokens = ["", *(token for token, _ in symbols[1:] if token not in starts)]
    try:
        letters = all(len(token) == 1 for token in tokens[1:])
        vocabulary = Characters(tokens) if letters else BPE.read(tokenizer.backend_tokenizer)
    except ValueError as error:
        raise CheckpointError(f"The tokenizer in {folder} is not of characters or byte pairs as exported.") from error
    if vocabulary.tokens != tokens or len(symbols) != theirs.config.vocab_size:
        raise CheckpointError(f"The tokenizer in {folder} does not fit its model; export it again.")
    c, items = theirs.config, theirs.config.eos_token_id is not None
    cls = CodeGPT if items and tokens[c.eos_token_id] == CodeGPT.end else GPT
    config = cls.Config(
        layers=c.num_hidden_layers,
        width=c.hidden_size,
        heads=c.num_attention_heads,
        context=c.max_position_embeddings,
        tokens=max(LEAST, len(vocabulary)) if isinstance(vocabulary, BPE) else 0,
    )
    info = ModelInfo(
        name="",
        family=cls.family,
        medium=cls.medium,
        tasks=cls.taught(items),
        kinds=sorted(cls.kinds),
        labels=[start[1:-1] for start in starts] if len(starts) > 1 else [],
        config=asdict(config),
        versions=checkpoint.versions(),
        parameters=sum(tensor.numel() for tensor in theirs.parameters()),
    )
    lengths = np.asarray([c.max_position_embeddings, *[1] * len(starts)], np.int64)
    model = cls(info, vocabulary, UNSEEN, np.zeros(0, np.int64), lengths)
    model.net.load_state_dict(_ours(theirs.state_dict(), c.num_hidden_layers, c.num_attention_heads))
    as_stored(model.net, small=True)
    return model


def _ours(state: dict[str, Tensor], blocks: int, heads: int) -> dict[str, Tensor]:
    """The network's tensors from those under transformers' names."""
    found = {"symbols.weight": state["model.embed_tokens.weight"], "head.weight": state["lm_head.weight"]}
    for i in range(blocks):
        theirs = f"model.layers.{i}."
        q, k, v = (state[f"{theirs}self_attn.{letter}_proj.weight"] for letter in "qkv")
        q, k = (rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2) for rows in (q, k))
        found[f"blocks.{i}.attention.qkv.weight"] = torch.cat([q, k, v])
        found |= {f"blocks.{i}.{ours}": state[theirs + name] for ours, name in PARTS.items()}
    return found
