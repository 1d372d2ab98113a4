"""The in-process LLM: weights, prefix cache, and turns of a conversation written token by token.

Unusual here: two sets of weights share one engine, the base for plain talk and the base with its LoRA adapter merged
for tool calls; tokens the grammar forces wait and go through the model with the next one that is sampled, together
with a guess how the call goes on (`chains.drafting`); and a turn begins with a copy of the cache that an earlier turn
left of its constant prefix. Llama-shaped models go through `chains.llama`, all others through transformers.

No lock is held while a turn is suspended, so a turn may be advanced from any thread and dropped at any token.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chains import calibration, prompting, watch
from chains.choice import Candidate, candidates, choose
from chains.copying import Copying
from chains.drafting import Drafter, write
from chains.grammar import Arguments, Tool, Vocabulary
from chains.llama import KeyValues, Llama, is_llama
from chains.lora import merged
from chains.native import Native
from chains.numbers import MEANT_TWICE, untangled
from chains.session import Session
from chains.weights import embedded_base, quiet

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

__all__ = ["Call", "Decision", "Engine", "Outcome", "Sampler", "embedded_base", "load_engine", "merged"]

CALL_TOKENS = 768  # after which the arguments of one call are brought to an end
SLOTS = 4  # constant prefixes (tool lists) whose cache is kept


@dataclass
class Outcome:
    """How a turn went: tokens read (of these, `cached` were not computed again) and written, and why it ended.

    `quoted`: whether a reply is a result's own words.
    """

    read: int = 0
    cached: int = 0
    written: int = 0
    finish: str = "stop"  # or "length", "tool_calls"
    ended_by: int | None = None  # the token that ended plain talk, if one did
    quoted: bool = False


@dataclass(frozen=True)
class Decision:
    """What the turn does first: a tool's name or prompting.NO_TOOL, and how sure that is, in [0, 1]."""

    name: str
    confidence: float
    ranking: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Call:
    """One finished call: `arguments` is compact JSON, valid against the tool's schema."""

    name: str
    arguments: str
    confidence: float


class Sampler:
    """Draws tokens: the likeliest at temperature 0, otherwise from the tempered distribution of its own generator."""

    def __init__(self, temperature: float = 0.0, seed: int | None = None) -> None:
        import torch

        self.temperature = temperature
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def pick(self, logits: torch.Tensor, allowed: NDArray[Any] | None = None) -> int:
        """A token id from `logits` (V,), among `allowed` (V,) if given."""
        import torch

        if allowed is not None:
            logits = logits.masked_fill(~torch.from_numpy(allowed), -math.inf)
        if self.temperature == 0:
            return int(logits.argmax())
        return int(torch.multinomial((logits / self.temperature).softmax(-1), 1, generator=self._generator))


@dataclass
class _Opening:
    """The arguments of one candidate: what the grammar forces at their beginning, and a guess how they go on."""

    arguments: Arguments
    forced: list[int]
    draft: list[int]


@dataclass
class _Slot:
    tokens: list[int]
    cache: Any


class Engine:
    """One loaded model. Thread-safe: a lock guards each forward pass, nothing else is shared.

    `folder` holds safetensors and a tokenizer that knows ChatML (`<|im_start|>`); `adapter` a LoRA adapter in peft's
    format. `dtype` is bfloat16 or float32; by default what the processor is quick at.
    """

    def __init__(
        self, folder: Path, adapter: Path | None = None, dtype: str | None = None, device: str | None = None
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = getattr(torch, dtype or best_dtype(self.device.type))
        try:
            with quiet():
                self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
                base: Any = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=self.dtype, attn_implementation="sdpa", use_safetensors=True
                )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{folder} does not hold a causal language model that can be loaded: {reason}") from error
        self._base = base.to(self.device).eval().requires_grad_(False)
        self._tuned = self._base
        if adapter is not None:
            self._tuned = merged(self._base, folder, adapter)
        self.calibration = calibration.read(adapter)
        self._llamas: dict[bool, Llama] = {}  # by `tuned`; empty where only transformers can compute the model
        if is_llama(self._base):
            base_llama = Llama(self._base)
            self._llamas = {False: base_llama, True: Llama(self._tuned) if adapter is not None else base_llama}
        self.native = Native.of(self.tokenizer) if adapter is None else None  # an adapter is taught our own format
        if self.native:
            self.start = self.end = self.native.end
        else:
            self.start, self.end = (self._control(mark) for mark in ("<|im_start|>", "<|im_end|>"))
        self.size = int(base.get_output_embeddings().weight.shape[0])
        self.context = int(getattr(base.config, "max_position_embeddings", 4096))
        stops = self.native.stops if self.native else ()
        self.special = sorted({*self.tokenizer.all_special_ids, self.start, self.end, *stops})
        self._vocabulary: Vocabulary | None = None
        self._slots: OrderedDict[tuple[bool, tuple[int, ...]], _Slot] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def vocabulary(self) -> Vocabulary:
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(self.tokenizer, self.size)
        return self._vocabulary

    def session(self, segments: Sequence[prompting.Segment], tuned: bool, outcome: Outcome) -> Session:
        """A prompt to go on from, with as much of it from the cache as some earlier turn left there."""
        tokens = prompting.encode(self.tokenizer, segments)
        if len(tokens) >= self.context:
            raise ValueError(f"the conversation has {len(tokens)} tokens, this model reads {self.context}; shorten it")
        head = prompting.encode(self.tokenizer, segments[:3])  # the system message, constant for a list of tools
        key = (tuned, tuple(head))
        with self._lock:
            slot = self._slots.get(key)
            if slot:
                self._slots.move_to_end(key)
        shared = 0
        if slot:
            limit = min(len(slot.tokens), len(tokens) - 1)  # the last token is always computed, for its logits
            shared = next((i for i in range(limit) if slot.tokens[i] != tokens[i]), limit)
        outcome.read += len(tokens)
        outcome.cached += shared
        return Session(self, tuned, key, tokens, shared, slot.cache if slot and shared else None)

    def calls(
        self,
        session: Session,
        tools: Sequence[Tool],
        sampler: Sampler,
        outcome: Outcome,
        *,
        must_call: bool,
        max_calls: int,
        marked: Collection[str] = (),
        last: str = "",
    ) -> Iterator[Decision | Call]:
        """A Decision, then its calls; none after prompting.NO_TOOL, which is a candidate unless `must_call`.

        `marked`: the tools in whose calls the mark for quoted text can mean something; `last`: what the person said
        last, as the prompt shows it.
        """
        by_name = {tool.name: tool for tool in tools}
        said = self.tokenizer.decode(session.said())
        drafter = None if sampler.temperature else Drafter(self.tokenizer, self.vocabulary, said)
        copying = Copying(self.vocabulary, last)
        before: Call | None = None
        for i in range(max_calls):
            ready: dict[str, _Opening] = {}

            def tail(name: str, ready: dict[str, _Opening] = ready) -> list[int]:
                if name == prompting.NO_TOOL:
                    return []
                if name not in ready:
                    arguments = Arguments(by_name[name], self.vocabulary, CALL_TOKENS, name in marked)
                    forced = arguments.forced()
                    room = self.context - len(session)
                    ready[name] = _Opening(arguments, forced, drafter.draft(arguments, room) if drafter else [])
                return ready[name].forced + ready[name].draft

            options = self._candidates(list(by_name), plain=i == 0 and not must_call)
            choice = choose(session, options, tail, self.calibration.of)
            name, ranking = choice.candidate.name, choice.ranking
            if i == 0:
                yield Decision(name, ranking[0][1], ranking)
                if name == prompting.NO_TOOL:
                    session.keep()
                    return
            if not choice.written:
                session.push([*choice.candidate.tokens, *tail(name)])
            tail(name)
            arguments = ready[name].arguments
            outcome.written += len(choice.candidate.tokens) + len(ready[name].forced)
            outcome.finish = "tool_calls"
            drafted = ready[name].draft
            outcome.written += write(session, arguments, drafted, drafter, sampler.pick, self.context, copying)
            text = arguments.text
            if not sampler.temperature:
                text = self._untangled(session, by_name[name], text, last)
            call = Call(name, by_name[name].given(text), ranking[0][1])
            if call.name == (before and before.name) and call.arguments == (before and before.arguments):
                break  # the same call again, word for word, is a loop
            yield call
            before = call
            if i + 1 == max_calls:
                break
            logits = session.logits()[0]
            more = max(self.vocabulary.line, key=lambda token: float(logits[token]))
            if logits[self.end] >= logits[more]:
                break
            session.push([self._newline])
            outcome.written += 1
        session.keep()

    def _untangled(self, session: Session, tool: Tool, written: str, last: str) -> str:
        """The arguments at the end of `session`, or better ones in their place if they have a number twice."""
        ways = untangled(written, tool.description["parameters"], last)
        options = []
        for text in (written, *ways) if ways else ():
            tokens = prompting.encode(self.tokenizer, [prompting.Segment(f" {text}")])
            if Arguments(tool, self.vocabulary, CALL_TOKENS).fits(*tokens):
                options.append(Candidate(text, tuple(tokens)))
        if len(options) < 2 or options[0].name != written:
            return written
        length = len(options[0].tokens)
        if session.said()[-length:] != [*options[0].tokens]:  # tokens that the tokenizer would have put otherwise
            return written
        session.rewind(length)
        likely = dict(choose(session, options, lambda _: ()).ranking)  # all begin alike, so none is written
        best = max(options[1:], key=lambda option: likely[option.name])
        if likely[written] >= MEANT_TWICE * likely[best.name]:
            best = options[0]
        session.push(best.tokens)
        return best.name

    def _candidates(self, names: list[str], *, plain: bool) -> list[Candidate]:
        everything = [*names, prompting.NO_TOOL] if plain else names
        tokens = [prompting.encode(self.tokenizer, [prompting.Segment(name)]) for name in everything]
        vocabulary = self.vocabulary
        return candidates(everything, tokens, [vocabulary.space] * len(names) + [vocabulary.line])

    @property
    def _newline(self) -> int:
        return self.vocabulary.bytes.index(b"\n")

    def _control(self, mark: str) -> int:
        token = self.tokenizer.convert_tokens_to_ids(mark)
        if not isinstance(token, int) or token == self.tokenizer.unk_token_id:
            raise ValueError(
                f"this model does not know {mark}; Artwright runs ChatML models (SmolLM2, Qwen, ...) in process, "
                "others through provider:model"
            )
        return token

    def forward(self, tuned: bool, tokens: Sequence[int], cache: Any, last: int, **more: Any) -> torch.Tensor:
        """Logits (last, V) float32 on the CPU; `cache` grows by `tokens`. Raises `Cancelled` if the turn is stopped."""
        import torch

        watch.check()
        model = self._tuned if tuned else self._base
        ids = torch.tensor([list(tokens)], device=self.device)  # (1, T)
        with self._lock, torch.inference_mode():
            if isinstance(cache, KeyValues):
                tree = (more["attention_mask"][0, 0], more["position_ids"][0]) if more else ()
                logits = self._llamas[tuned].forward(ids[0], cache, last, *tree)
            else:
                logits = model(
                    input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=last, **more
                ).logits[0]
        own: torch.Tensor = logits.float().cpu().clone()  # (last, V); made outside inference mode, may be changed
        return own

    def cache(self, tuned: bool, earlier: Any, shared: int) -> Any:
        """A key-value cache for `forward` that holds the first `shared` positions of `earlier`, which stays whole."""
        if self._llamas:
            return earlier.copy(shared) if earlier is not None else self._llamas[tuned].empty()
        from transformers import DynamicCache

        fresh = DynamicCache()
        if earlier is not None:
            for i, layer in enumerate(earlier.layers):  # (1, heads, T, width)
                fresh.update(layer.keys[..., :shared, :], layer.values[..., :shared, :], i)
        return fresh

    def keep(self, key: tuple[bool, tuple[int, ...]], tokens: list[int], cache: Any) -> None:
        """Remember what was computed for a prompt, by its constant beginning `key`."""
        with self._lock:
            self._slots[key] = _Slot(tokens, cache)
            self._slots.move_to_end(key)
            while len(self._slots) > SLOTS:
                self._slots.popitem(last=False)


def best_dtype(device: str) -> str:
    """bfloat16 where the hardware multiplies it, else float32."""
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    has = torch.cpu.get_capabilities()
    return "bfloat16" if has.get("avx512_bf16") or has.get("amx_bf16") else "float32"


_loaded: dict[tuple[Path, Path | None, str | None, str | None], Engine] = {}
_loading = threading.Lock()


def load_engine(
    folder: Path, adapter: Path | None = None, dtype: str | None = None, device: str | None = None
) -> Engine:
    """The engine of these weights, loaded once in this process."""
    key = (folder, adapter, dtype, device)
    with _loading:
        if key not in _loaded:
            _loaded[key] = Engine(*key)
        return _loaded[key]
