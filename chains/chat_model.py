"""A LangChain chat model that runs in this process and really calls tools.

    llm = chat_model("embedded").bind_tools([my_tool])
    llm.invoke("draw two sneakers").tool_calls

With tools bound, the model first decides: each tool's name and "no tool" are compared by likelihood, and the decision
stands with its probabilities in `response_metadata["choice"]`. Arguments are then written under the tool's grammar, so
they are always valid; they are never cut off by `max_tokens`, which bounds text. Plain talk comes from the model
without its adapter, the reply to a tool's result with it, if it was taught that; where it is not sure what in the
result answers, the result itself is quoted (`chains.answer_set`). Other models call tools as their own chat template
says (`chains.native`). In bfloat16 a warm cache may change a near-tie; in float32 it changes nothing.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, model_validator

from chains import served
from chains.grammar import Tool, compile_tools
from chains.lora import taught
from chains.messages import to_turns
from chains.turn import Request, take
from chains.weights import embedded_base, embedded_gguf, hub_folder

if TYPE_CHECKING:
    from chains.engine import Engine, Outcome

SHIPPED_ADAPTER = Path(__file__).parent / "tuning" / "adapter"
ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool


def chat_model(spec: str | None = None, **options: Any) -> BaseChatModel:
    """The chat model that `spec` names.

    `embedded` (SmolLM2-135M-Instruct with Artwright's adapter), a folder with safetensors, a Hugging Face id
    `owner/name` (both run in this process), or LangChain's `provider:model`. Without `spec`: $ARTWRIGHT_LLM, or
    `embedded`. `options` go to the model's constructor. Raises ValueError, saying the fix, for anything else.
    """
    spec = spec or os.environ.get("ARTWRIGHT_LLM") or "embedded"
    if spec == _local(spec):
        return ChatArtwright(**{"model": spec, **options})
    provider, colon, name = spec.partition(":")
    if not colon or not provider or not name:
        raise ValueError(
            f"{spec!r} names no LLM: use `embedded`, an existing folder, a hub id owner/name, or provider:model"
        )
    try:
        if provider == "huggingface":
            from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint

            endpoint: Any = HuggingFaceEndpoint
            return ChatHuggingFace(llm=endpoint(repo_id=name), **options)
        return served.make(spec, options)
    except ImportError as error:
        raise ValueError(f"{spec!r} needs another package: {error}") from error
    except Exception as error:  # each provider raises its own; all mean that this spec does not work here
        raise ValueError(served.unusable(spec, error, options)) from None


class ChatArtwright(BaseChatModel):
    """A transformers causal LM as a LangChain chat model with tools; loads on first use.

    Tool calls of one turn come in `tool_calls`; `response_metadata` has `choice` (`name`, `confidence` in [0, 1],
    `alternatives`: the three likeliest, with tools bound), `confidences` (one a call), `finish_reason`, and `quoted`
    with a reply that is a result's own words.
    """

    model: str = Field(default_factory=lambda: _local(os.environ.get("ARTWRIGHT_LLM", "")), alias="model_name")
    """`embedded`, a folder with safetensors and tokenizer, or a Hugging Face id; by default $ARTWRIGHT_LLM if it is one
    of these, else `embedded`. Calls are written as the model's own chat template writes them; where that knows no
    tools, or with an adapter, in our own format, for which the model must know ChatML."""
    adapter: str | None = "auto"
    """Folder of a LoRA adapter for tool calls; `auto` is Artwright's own with `embedded`, none otherwise."""
    dtype: Literal["bfloat16", "float32"] | None = None
    """Of the weights; by default bfloat16 where the hardware multiplies it."""
    device: str | None = None
    """A torch device; by default the GPU if there is one."""
    temperature: float = Field(default=0.0, ge=0.0)
    """Of plain talk and of arguments; 0 is greedy. The choice of a tool is always the likeliest."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest plain answer, in tokens; a call is always whole."""
    max_calls: int = Field(default=8, ge=1)
    """Most calls in one turn."""
    stop: list[str] | str | None = Field(default=None, alias="stop_sequences")
    """Plain talk ends before any of these."""
    seed: int | None = None
    """Of sampling; without one each call draws its own."""

    # LangChain hands every chat model api_key, timeout and max_retries, which mean nothing here.
    model_config = ConfigDict(populate_by_name=True, extra="ignore")

    @model_validator(mode="after")
    def _exists(self) -> ChatArtwright:
        if self.model == "embedded":
            embedded_gguf()
        elif not re.fullmatch(r"[\w.-]+/[\w.-]+", self.model) and not Path(self.model).expanduser().is_dir():
            raise ValueError(f"no folder {self.model}; use `embedded`, an existing one, or a hub id owner/name")
        if self.adapter not in (None, "auto") and not Path(str(self.adapter)).expanduser().is_dir():
            raise ValueError(f"no adapter folder {self.adapter}; name one that exists, or None")
        return self

    @property
    def engine(self) -> Engine:
        """The loaded model, shared by all ChatArtwright of the same weights in this process."""
        from chains.engine import load_engine

        return load_engine(*self._folders(), self.dtype, self.device)

    def _folders(self) -> tuple[Path, Path | None]:
        """Where the weights lie, and the adapter if there is one."""
        adapter = Path(str(self.adapter)).expanduser() if self.adapter not in (None, "auto") else None
        if self.model == "embedded":
            if self.adapter == "auto" and (SHIPPED_ADAPTER / "adapter_config.json").is_file():
                adapter = SHIPPED_ADAPTER
            return embedded_base(), adapter
        folder = Path(self.model).expanduser()
        return (folder if folder.is_dir() else hub_folder(self.model)), adapter

    def bind_tools(
        self,
        tools: Sequence[ToolLike],
        *,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools of any kind LangChain knows.

        `tool_choice`: None or "auto" (the model decides), "any", "required" or True (some tool), "none", a tool's
        name, or OpenAI's mapping of one. A named tool is called once; `parallel_tool_calls=False` makes it one call at
        most. Raises ValueError for a schema that cannot be enforced.
        """
        functions = [convert_to_openai_tool(tool) for tool in tools]
        choice = _choice(tool_choice, [tool.name for tool in compile_tools(functions)])
        return self.bind(tools=functions, tool_choice=choice, parallel_tool_calls=parallel_tool_calls, **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers as instances of `schema` (pydantic class, TypedDict or JSON schema), by a call that is forced.

        `method` and `strict` are accepted and change nothing: every answer obeys the schema.
        """
        return super().with_structured_output(schema, include_raw=include_raw, **kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, stop, **kwargs):
            generation = ChatGenerationChunk(message=chunk)
            if run_manager:
                run_manager.on_llm_new_token(str(chunk.content), chunk=generation)
            yield generation

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # Through the stream, so that a cancelled task stops the model at the next token.
        stream: AsyncIterator[ChatGenerationChunk] = self._astream(messages, stop, run_manager, **kwargs)
        return await agenerate_from_stream(stream)

    def _chunks(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        model: str | None = None,
        may_ask: bool = False,
        plain_talk: bool = True,
        **_: Any,
    ) -> Iterator[AIMessageChunk]:
        """One turn, as message chunks; the last one carries metadata and usage.

        The agent's two switches: with `may_ask`, a choice below the adapter's threshold ends the turn, its
        `finish_reason` "unsure"; without `plain_talk`, the choice of no tool does.
        """
        from chains.engine import Call, Decision, Outcome, Sampler

        if model and model != self.model:
            settings = {**self._identifying_params, "device": self.device, "model": model, "adapter": "auto"}
            yield from type(self)(**settings)._chunks(
                messages, stop, tools=tools, tool_choice=tool_choice, parallel_tool_calls=parallel_tool_calls,
                temperature=temperature, max_tokens=max_tokens, seed=seed, may_ask=may_ask, plain_talk=plain_talk,
            )  # fmt: skip
            return
        compiled = _compiled(tools or ())
        choice = _choice(tool_choice, [tool.name for tool in compiled])
        limit = self.max_tokens if max_tokens is None else max_tokens
        heat = self.temperature if temperature is None else temperature
        if limit < 1 or heat < 0:
            raise ValueError(f"max_tokens must be at least 1 and temperature at least 0, not {limit} and {heat}")
        system, turns = to_turns(messages)
        if not turns:
            raise ValueError("there is nothing to answer; give at least one message besides the system's")
        single = parallel_tool_calls is False or choice not in ("auto", "any", "none")
        lessons = taught(self._folders()[1])
        request = Request(
            turns, system, compiled, choice,
            max_calls=1 if single else self.max_calls,
            limit=limit,
            stops=_stops(stop if stop is not None else self.stop),
            replies="replies" in lessons,
            cites="citing" in lessons,
            may_ask=may_ask,
            plain_talk=plain_talk,
        )  # fmt: skip
        outcome = Outcome()
        metadata: dict[str, Any] = {"model_name": self.model, "model_provider": "artwright"}
        ident = f"lc_run-{uuid.uuid4()}"
        confidences: list[float] = []
        for event in take(self.engine, request, Sampler(heat, self.seed if seed is None else seed), outcome):
            if isinstance(event, str):
                yield AIMessageChunk(content=event, id=ident)
            elif isinstance(event, Decision):
                metadata["choice"] = {
                    "name": event.name,
                    "confidence": event.confidence,
                    "alternatives": [[name, p] for name, p in event.ranking[:3]],
                }
            else:
                assert isinstance(event, Call)
                call_id = f"call_{uuid.uuid4().hex[:24]}"
                call = tool_call_chunk(name=event.name, args=event.arguments, id=call_id, index=len(confidences))
                confidences.append(event.confidence)
                yield AIMessageChunk(content="", id=ident, tool_call_chunks=[call])
        if request.offered:
            metadata["confidences"] = confidences
        if outcome.quoted:
            metadata["quoted"] = True
        metadata["finish_reason"] = outcome.finish
        yield AIMessageChunk(
            content="",
            id=ident,
            response_metadata=metadata,
            usage_metadata=_usage(outcome),
            chunk_position="last",
        )

    @property
    def _llm_type(self) -> str:
        return "artwright"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("model", "adapter", "dtype", "temperature", "max_tokens", "max_calls", "stop", "seed")
        return {name: getattr(self, name) for name in names}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "artwright"
        if stop is None and self.stop:
            params["ls_stop"] = _stops(self.stop)
        return params


def _local(spec: str) -> str:
    """`spec` if it names a model that runs in this process, else `embedded`."""
    is_local = spec and (Path(spec).expanduser().is_dir() or re.fullmatch(r"[\w.-]+/[\w.-]+", spec))
    return spec if is_local else "embedded"


def _choice(choice: str | bool | Mapping[str, Any] | None, names: Sequence[str]) -> str:
    """A tool choice in any of its forms as "auto", "any", "none" or a tool's name."""
    if isinstance(choice, Mapping):
        function = choice.get("function", choice)
        choice = function.get("name") or choice.get("type")
    if choice in names:
        return str(choice)
    plain = {None: "auto", False: "auto", "auto": "auto", True: "any", "any": "any", "required": "any", "none": "none"}
    if choice not in plain:
        raise ValueError(f"tool_choice {choice!r} is no tool; allowed: auto, any, none, {', '.join(names)}")
    if plain[choice] == "any" and not names:
        raise ValueError("tool_choice asks for a call, but no tools are bound")
    return plain[choice]


def _compiled(tools: Sequence[Mapping[str, Any]]) -> list[Tool]:
    return compile_tools(json.loads(json.dumps(list(tools))))


def _stops(stop: Sequence[str] | str | None) -> list[str]:
    return [part for part in ([stop] if isinstance(stop, str) else stop or ()) if part]


def _usage(outcome: Outcome) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=outcome.read,
        output_tokens=outcome.written,
        total_tokens=outcome.read + outcome.written,
        input_token_details={"cache_read": outcome.cached},
    )
