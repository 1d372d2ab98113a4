"""The forward pass of Llama-shaped models with little around it: a quarter of transformers' time for a few tokens.

Unusual here: one sequence at a time, no batch. The query, key and value weights are one matrix, gate and up another;
the modules they came from keep views of them, so the weights stand in memory once. The query heads that share a key
are rows of one attention product, so no key is ever repeated. Keys and values go into room allocated beforehand.

    x = embed(token)                                            # (T, C)
    x = x + attention(rope(q), rope(k), v) W_o                  # of rms_norm(x); grouped queries (Ainslie et al. 2023)
    x = x + (silu(gate) * up) W_down                            # of rms_norm(x); SwiGLU (Shazeer 2020)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BLOCK = 256  # tokens that go through at once; bounds the attention mask of a long prompt
SPARE = 192  # positions allocated beyond those needed now


class KeyValues:
    """Keys and values of one sequence: `rows` (layers, 2, heads, room, width), of which `length` positions stand."""

    def __init__(self, rows: torch.Tensor, length: int = 0) -> None:
        self.rows, self.length = rows, length

    def crop(self, count: int) -> None:
        """Forget the newest positions; `count` is negative, as in transformers' DynamicCache."""
        self.length += count

    def copy(self, length: int) -> KeyValues:
        """The first `length` positions, to go on from; what stands here stays as it is."""
        return KeyValues(self._moved(length), length)

    def reserve(self, length: int) -> None:
        if length > self.rows.shape[3]:
            self.rows = self._moved(length)

    def _moved(self, length: int) -> torch.Tensor:
        layers, two, heads, _, width = self.rows.shape
        rows = self.rows.new_empty(layers, two, heads, length + SPARE, width)
        kept = min(length, self.length)
        rows[:, :, :, :kept] = self.rows[:, :, :, :kept]
        return rows


def is_llama(model: Any) -> bool:
    """Whether `Llama` computes this model: plain Llama weights on the CPU, positions that do not depend on length."""
    config = model.config
    return (
        config.model_type == "llama"
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
        and config.rope_parameters.get("rope_type") in ("default", "linear", "llama3")
        and model.device.type == "cpu"
        and model.lm_head.bias is None
        and not getattr(config, "quantization_config", None)
    )


class Llama:
    """The weights of a transformers LlamaForCausalLM, ready for `forward`."""

    def __init__(self, model: Any) -> None:
        config, body = model.config, model.model
        self.heads, self.kv = int(config.num_attention_heads), int(config.num_key_value_heads)
        self.width = int(body.layers[0].self_attn.head_dim)
        self.eps = float(config.rms_norm_eps)
        self.embedding: torch.Tensor = body.embed_tokens.weight.detach()  # (V, C)
        self.head: torch.Tensor = model.lm_head.weight.detach()  # (V, C), often the same tensor
        self.norm: torch.Tensor = body.norm.weight.detach()
        self.layers: list[tuple[torch.Tensor, ...]] = []
        for layer in body.layers:
            a, m = layer.self_attn, layer.mlp
            fused = _fused([a.q_proj, a.k_proj, a.v_proj])  # ((heads + 2 kv) width, C)
            gated = _fused([m.gate_proj, m.up_proj])  # (2 F, C)
            others = (
                layer.input_layernorm.weight, a.o_proj.weight, layer.post_attention_layernorm.weight, m.down_proj.weight
            )  # fmt: skip
            first, out, second, down = (weight.detach() for weight in others)
            self.layers.append((first, fused, out, second, gated, down))
        self._rotary = body.rotary_emb
        self.cos: torch.Tensor = self.embedding.new_empty(0, 1, self.width)  # (P, 1, width), the halves alike
        self.sin: torch.Tensor = self.cos  # the first half negated, so that a roll by half a width stands for the rest

    def _turn(self, end: int) -> None:
        """Tables of the rotary embedding for positions below `end` (Su et al. 2021, eq. 34)."""
        import torch

        if end > len(self.cos):
            cos, sin = self._rotary(self.embedding, torch.arange(2 * end)[None])  # (1, P, width)
            half = self.width // 2
            self.cos = cos[0, :, None]
            self.sin = torch.cat([-sin[0, :, None, :half], sin[0, :, None, half:]], -1)

    def empty(self) -> KeyValues:
        return KeyValues(self.embedding.new_empty(len(self.layers), 2, self.kv, 0, self.width))

    def forward(
        self,
        ids: torch.Tensor,
        cache: KeyValues,
        last: int,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits (last, V) after the newest tokens `ids` (T,); `cache` grows by T.

        `mask` (T, length + T) is added to the attention scores and `positions` (T,) are the tokens' own; by default
        each token sees all before it.
        """
        if mask is None:
            before = len(ids) - max(last, (len(ids) - 1) % BLOCK + 1)  # tokens that go ahead of the last block
            for start in range(0, before, BLOCK):
                self._blocks(ids[start : min(start + BLOCK, before)], cache, None, None)
            ids = ids[max(before, 0) :]
        x = self._blocks(ids, cache, mask, positions)[len(ids) - last :]
        logits: torch.Tensor = self._linear(self._normed(x, self.norm), self.head)
        return logits

    def _blocks(
        self, ids: torch.Tensor, cache: KeyValues, mask: torch.Tensor | None, positions: torch.Tensor | None
    ) -> torch.Tensor:
        """Hidden states (T, C) after the last layer."""
        import torch
        import torch.nn.functional as F

        n, past = len(ids), cache.length
        end, groups = past + n, self.heads // self.kv
        cache.reserve(end)
        self._turn(end)
        x = self.embedding[ids]  # (T, C)
        cos, sin = (t[past:end] if positions is None else t[positions] for t in (self.cos, self.sin))
        if mask is None and n > 1:
            mask = x.new_zeros(n, end)
            mask[:, past:] = torch.full((n, n), -math.inf, dtype=x.dtype).triu(1)
        if mask is not None:
            mask = mask.repeat_interleave(groups, 0)  # (T groups, length + T)
        turned = self.heads + self.kv
        for i, (first, fused, out, second, gated, down) in enumerate(self.layers):
            h = self._linear(self._normed(x, first), fused).view(n, turned + self.kv, self.width)
            qk = h[:, :turned]
            qk = torch.addcmul(qk * cos, qk.roll(self.width // 2, -1), sin)  # (T, heads + kv, width)
            rows = cache.rows[i]  # (2, kv, room, width)
            rows[0, :, past:end] = qk[:, self.heads :].transpose(0, 1)
            rows[1, :, past:end] = h[:, turned:].transpose(0, 1)
            q = qk[:, : self.heads].reshape(n, self.kv, groups, self.width).transpose(0, 1)
            q = q.reshape(1, self.kv, n * groups, self.width)
            seen = F.scaled_dot_product_attention(q, rows[None, 0, :, :end], rows[None, 1, :, :end], attn_mask=mask)
            seen = seen.view(self.kv, n, groups, self.width).transpose(0, 1).reshape(n, -1)  # (T, heads width)
            x = x + self._linear(seen, out)
            gate, up = self._linear(self._normed(x, second), gated).chunk(2, -1)  # (T, F) each
            x = x + self._linear(F.silu(gate) * up, down)
        cache.length = end
        return x

    def _normed(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        import torch.nn.functional as F

        return F.rms_norm(x, weight.shape, weight, self.eps)

    def _linear(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        import torch.nn.functional as F

        return F.linear(x, weight)


def _fused(parts: list[Any]) -> torch.Tensor:
    """The parts' weights as one matrix, of which each part keeps its rows."""
    import torch

    whole = torch.cat([part.weight.detach() for part in parts])
    start = 0
    for part in parts:
        end = start + len(part.weight)
        part.weight.data = whole[start:end]
        start = end
    return whole
