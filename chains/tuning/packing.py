"""Many requests behind one prompt, in one sequence, so that the tool list is paid for once.

Unusual here: a pack is `prefix | request 1 | request 2 | ...`. Each request sees the prefix and itself, its positions
go on from the prefix, and the loss falls on what the assistant writes alone. That equals training on each
request separately (a test proves it) at a third of the tokens. Attention is computed a chunk of requests at a time over
the prefix and the chunk, so that no request pays for the square of the whole pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from chains.prompting import NO_TOOL, call_lines, encode, tool_prompt
from chains.tuning.citing import cited
from chains.tuning.maker import Example, Group

ATTENTION = "artwright_packed"  # the name under which transformers finds `packed_attention`
_ROWS = 64  # targets whose logits (49,152 each) are held at once
_CHUNK = 256  # tokens of requests that share one attention call; larger chunks waste masked scores, smaller ones calls


@dataclass
class Pack:
    """One training sequence of L tokens."""

    ids: Tensor  # (1, L) int64
    positions: Tensor  # (1, L) int64; restarts after the prefix for each request
    prefix: int  # tokens of the shared prompt
    owner: Tensor  # (L,) int64: 0 for the prefix, else the number of the request, from 1
    predicts: Tensor  # (T,) int64: positions whose next token is a target
    targets: Tensor  # (T,) int64: those tokens
    target_owner: Tensor  # (T,) int64: the request of each target
    examples: list[Example] = field(default_factory=list)

    def to(self, device: torch.device | str) -> Pack:
        moved = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return Pack(**{**vars(self), **moved})


def answer_text(tools: Sequence[dict[str, Any]], example: Example) -> str:
    """What the assistant writes and the loss covers: the calls, one a line, or the decision not to call and, where
    it is taught, the reply after what it is based on.
    """
    said = example.reply
    if said:
        asked = max(i for i, turn in enumerate(example.turns) if turn.role == "user")
        results = [turn.text for turn in example.turns[asked:] if turn.role == "tool"]
        said = cited(results, example.turns[asked].text, said)
    return call_lines(tools, example.calls, example.turns, pointing=True) or f"{NO_TOOL}\n{said}"


def encode_prefix(tokenizer: Any, tools: Sequence[dict[str, Any]]) -> list[int]:
    """The system message with its tool list: the first message of `tool_prompt`, three segments."""
    return encode(tokenizer, tool_prompt(tools, [])[:3])


def encode_example(tokenizer: Any, tools: Sequence[dict[str, Any]], example: Example) -> tuple[list[int], list[int]]:
    """Token ids of a request (what follows the system message) and of its answer."""
    question = encode(tokenizer, tool_prompt(tools, example.turns)[3:])
    answer = tokenizer.encode(answer_text(tools, example), add_special_tokens=False, split_special_tokens=True)
    if example.calls or example.reply:  # plain talk goes on in the model's own words, so its end is not taught
        answer = [*answer, tokenizer.convert_tokens_to_ids("<|im_end|>")]
    return question, answer


def make_pack(tokenizer: Any, group: Group, max_tokens: int) -> Pack:
    """Packs a group's examples in order, as many as fit within `max_tokens`."""
    prefix = encode_prefix(tokenizer, group.tools)
    ids, positions, owner = list(prefix), list(range(len(prefix))), [0] * len(prefix)
    predicts: list[int] = []
    targets: list[int] = []
    target_owner: list[int] = []
    kept: list[Example] = []
    for example in group.examples:
        question, answer = encode_example(tokenizer, group.tools, example)
        body = question + answer[:-1]  # the last target is predicted, never read
        if len(ids) + len(body) > max_tokens:
            break  # a later, shorter one might fit, but then long examples would be taught less often
        kept.append(example)
        first = len(ids) + len(question) - 1
        predicts += range(first, first + len(answer))
        targets += answer
        target_owner += [len(kept)] * len(answer)
        positions += range(len(prefix), len(prefix) + len(body))
        owner += [len(kept)] * len(body)
        ids += body
    if not kept:
        raise ValueError(f"no example of the group fits {max_tokens} tokens; its prompt alone takes {len(prefix)}")
    as_tensor = torch.tensor
    return Pack(
        as_tensor([ids]), as_tensor([positions]), len(prefix), as_tensor(owner), as_tensor(predicts),
        as_tensor(targets), as_tensor(target_owner), kept,
    )  # fmt: skip


def attention_chunks(pack: Pack) -> list[tuple[int, int, Tensor]]:
    """(start, end, hidden) of the prefix and of each stretch of requests; hidden (end-start, end-start) bool, true
    where a token does not see another of the stretch.
    """
    owner, prefix = pack.owner, pack.prefix
    starts = [prefix, *(i for i in range(prefix + 1, len(owner)) if owner[i] != owner[i - 1]), len(owner)]
    bounds = [0, prefix]
    for start, following in pairwise(starts):
        if following - bounds[-1] > _CHUNK and start > bounds[-1]:
            bounds.append(start)
    bounds.append(len(owner))
    chunks = []
    for start, end in pairwise(bounds):
        mine = owner[start:end]
        chunks.append((start, end, ~(mine[:, None] == mine[None, :]).tril()))
    return chunks


def packed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, scaling: float, **kwargs: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface over a pack; `kwargs["pack_chunks"]` is `attention_chunks`' answer.

    query (1, H, L, D), key and value (1, G, L, D) with H a multiple of G; the answer is (1, L, H, D).
    """
    groups = key.shape[1]
    query = (query * scaling).view(groups, -1, *query.shape[2:])  # (G, H/G, L, D)
    out: Tensor = _Attention.apply(query, key[0], value[0], kwargs["pack_chunks"])  # type: ignore[no-untyped-call]
    return out.flatten(0, 1).transpose(0, 1)[None], None


class _Attention(torch.autograd.Function):
    """Attention of the prefix, then of each chunk of requests over the prefix and itself.

    query (G, R, L, D) scaled, key and value (G, L, D); the R heads of a group share its keys, so their rows form one
    product. The gradients are written out, since those of slices would fill a tensor of full length for every chunk.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, chunks: list[tuple[int, int, Tensor]]) -> Tensor:
        out = torch.empty_like(query)
        seen = []
        for start, end, hidden in chunks:
            mine = _rows(query, start, end)  # (G, R chunk, D)
            scores = mine @ _seen(key, chunks, start, end).transpose(1, 2)
            by_token = scores.view(len(key), -1, end - start, scores.shape[-1])
            by_token[..., -(end - start) :].masked_fill_(hidden, float("-inf"))
            weights = scores.softmax(-1)  # (G, R chunk, prefix + chunk)
            out[:, :, start:end] = (weights @ _seen(value, chunks, start, end)).view(
                *query.shape[:2], -1, query.shape[3]
            )
            seen.append(weights)
        ctx.save_for_backward(query, key, value, *seen)
        ctx.chunks = chunks
        return out

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, *seen = ctx.saved_tensors
        chunks, prefix = ctx.chunks, ctx.chunks[0][1]
        d_query, d_key, d_value = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        shared = [torch.zeros(len(key), prefix, key.shape[2], device=key.device) for _ in range(2)]
        for (start, end, _), weights in zip(chunks, seen, strict=True):
            mine, slope = _rows(query, start, end), _rows(outer, start, end)
            keys, values = (_seen(part, chunks, start, end) for part in (key, value))
            d_scores = torch._softmax_backward_data(slope @ values.transpose(1, 2), weights, -1, weights.dtype)
            d_query[:, :, start:end] = (d_scores @ keys).view(*query.shape[:2], -1, query.shape[3])
            for whole, common, part in (
                (d_key, shared[0], d_scores.transpose(1, 2) @ mine),
                (d_value, shared[1], weights.transpose(1, 2) @ slope),
            ):  # part (G, prefix + chunk, D)
                common += part[:, :prefix]
                whole[:, start:end] = part[:, -(end - start) :]
        d_key[:, :prefix], d_value[:, :prefix] = shared
        return d_query, d_key, d_value, None


def _rows(heads: Tensor, start: int, end: int) -> Tensor:
    """(G, R, L, D) to (G, R chunk, D)."""
    return heads[:, :, start:end].reshape(len(heads), -1, heads.shape[3])


def _seen(part: Tensor, chunks: list[tuple[int, int, Tensor]], start: int, end: int) -> Tensor:
    """What a chunk attends to of keys or values (G, L, D): the prefix and itself."""
    prefix = chunks[0][1]
    return part[:, :end] if start in (0, prefix) else torch.cat([part[:, :prefix], part[:, start:end]], dim=1)


def use_packed_attention(model: Any) -> None:
    """Switches a transformers model to `packed_attention`; the mask transformers would build is not needed."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(ATTENTION, packed_attention)
    AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)
    model.set_attn_implementation(ATTENTION)


def use_lean_lora(model: nn.Module) -> None:
    """Gives every LoRA layer a forward without casts: base and low-rank products in the base's dtype.

    The adapter's weights stay float32 for the optimiser. Twice as fast as peft's forward under autocast on a CPU.
    """
    from peft.tuners.lora import Linear

    for layer in model.modules():
        if isinstance(layer, Linear):
            layer.forward = _LeanForward(layer)  # type: ignore[method-assign]


class _LeanForward:
    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __call__(self, x: Tensor) -> Tensor:
        layer = self.layer
        (name,) = layer.active_adapters
        base = layer.base_layer
        down = layer.lora_A[name].weight.to(x.dtype)  # (rank, in)
        up = (layer.lora_B[name].weight * layer.scaling[name]).to(x.dtype)  # (out, rank)
        flat = x.reshape(-1, x.shape[-1])
        out = linear(flat, base.weight, base.bias).addmm_(linear(flat, down), up.T)
        return out.view(*x.shape[:-1], -1)


def _target_states(model: Any, pack: Pack) -> tuple[Tensor, Tensor]:
    """Hidden states (T, C) at the positions that predict a target, and the output layer's weight (V, C)."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = causal.model(
        input_ids=pack.ids,
        position_ids=pack.positions,
        use_cache=False,
        pack_chunks=attention_chunks(pack),
    ).last_hidden_state[0]  # (L, C)
    return hidden[pack.predicts], causal.lm_head.weight


def target_logits(model: Any, pack: Pack) -> Tensor:
    """Logits (T, V) float32 at the positions that predict a target, and nowhere else."""
    return linear(*_target_states(model, pack)).float()


def pack_loss(model: Any, pack: Pack) -> Tensor:
    """Mean cross-entropy over the pack's targets, in nats. The output layer must be frozen."""
    states, weight = _target_states(model, pack)
    loss: Tensor = _OutputLoss.apply(states, weight.detach(), pack.targets)  # type: ignore[no-untyped-call]
    return loss


class _OutputLoss(torch.autograd.Function):
    """Mean cross-entropy of a frozen output layer, a few rows at a time so that logits never leave the cache."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        total = states.new_zeros((), dtype=torch.float32)
        gradient = torch.empty_like(states)
        for start in range(0, len(targets), _ROWS):
            rows = slice(start, start + _ROWS)
            logits = linear(states[rows], weight).float()  # (rows, V)
            whole = logits.logsumexp(-1, keepdim=True)
            mine = targets[rows, None]
            total += (whole - logits.gather(1, mine)).sum()
            slope = logits.sub_(whole).exp_()
            slope.scatter_add_(1, mine, slope.new_full(mine.shape, -1.0))
            gradient[rows] = slope.to(weight.dtype) @ weight / len(targets)
        ctx.save_for_backward(gradient)
        return total / len(targets)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return outer * gradient, None, None


def right_answers(logits: Tensor, pack: Pack) -> tuple[list[bool], list[bool]]:
    """For each example, teacher-forced: whether every target is the likeliest token, and whether the first is."""
    right = (logits.argmax(-1) == pack.targets).tolist()
    whole = [True] * len(pack.examples)
    first = [False] * len(pack.examples)
    for i, (good, owner) in enumerate(zip(right, pack.target_owner.tolist(), strict=True)):
        whole[owner - 1] &= good
        if i == 0 or pack.target_owner[i - 1] != owner:
            first[owner - 1] = good
    return whole, first
