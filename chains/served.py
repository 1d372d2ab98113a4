"""Errors of a served LLM (`provider:model`) as one sentence: what is wrong, where, and how to mend it.

Every provider's package raises errors of its own. They share no base class, but each goes back to an HTTP status or a
connection and is named after it, so statuses, class names and the address are looked for along the chain of causes.
What a provider says is quoted only where it helps, and never with anything that may be a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from generators.core.errors import Cancelled

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

ANOTHER = "or choose another LLM with --llm"
WAIT_S = 120  # for a served LLM's next word; some packages wait ten minutes, and try three times
QUOTED = 200  # characters of a provider's own words

_ADDRESSES = ("base_url", "openai_api_base", "endpoint_url", "anthropic_api_url", "azure_endpoint")
_NAMES = ("model_name", "model", "model_id", "repo_id")
_UNREACHED = re.compile(r"Connect|Network|Transport|SSL|gaierror")
_NO_KEY = re.compile(r"api[ _-]?key|authenticat|credentials|access token|\blog ?in\b", re.IGNORECASE)
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*_(?:[A-Z0-9]+_)*(?:KEY|TOKEN)\b")
_SECRET_NAME = re.compile(r"api_?key|token|secret|password|authorization|_auth$|_key$", re.IGNORECASE)
_SECRET = re.compile(
    r"\b(?:sk|pk|hf|gsk|xai)[-_][\w*.-]{6,}|\bAIza[\w-]{10,}"  # keys of well-known providers
    r"|\b(?i:bearer)\s+\S+|(?<=://)[^/\s@]+(?=@)"  # in a header, in an address
)
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")


class ServedError(ValueError):
    """A served LLM gave no answer; the message says why and what to do."""


def make(spec: str, options: Mapping[str, Any]) -> BaseChatModel:
    """LangChain's chat model for `provider:model`. One that would wait without end for its server gets a limit."""
    from langchain.chat_models import init_chat_model

    model: BaseChatModel = init_chat_model(spec, **options)
    fields = type(model).model_fields
    limits = [name for name, field in fields.items() if "timeout" in (name, field.alias)]
    if "timeout" in options or not limits or getattr(model, limits[0]) is not None:
        return model
    limited: BaseChatModel = init_chat_model(spec, timeout=WAIT_S, **options)
    return limited


@contextmanager
def explained(model: BaseChatModel) -> Iterator[None]:
    """Errors of calling `model` inside become a ServedError; an LLM of this process explains itself."""
    try:
        yield
    except Cancelled:
        raise
    except Exception as error:
        if model._llm_type == "artwright":
            raise
        raise ServedError(explain(error, model)) from None  # no traceback shows what the provider said


def explain(error: BaseException, model: BaseChatModel) -> str:
    """The sentence for an error that a call of `model` raised."""
    chain = list(_chain(error))
    kinds = " ".join(cls.__name__ for link in chain for cls in type(link).__mro__)
    status = next(filter(None, map(_status, chain)), 0)
    name = _first(model, _NAMES)
    who = "The language model" if "://" in name else f"The language model {name or type(model).__name__}"
    address = _address(chain, model)
    at = f" at {address}" if address else ""
    said = quoted(error, model)
    if status == 401 or (not status and _NO_KEY.search(_words(error))):
        return f"{who}{at} needs a key that it accepts: set {_variable(error, model)} and start again, {ANOTHER}."
    if status == 403:
        return f"{who}{at} is not open to this key: ask its provider for access, {ANOTHER}."
    if status == 404:
        return f"{who} is not known{at}: check its name and the address, {ANOTHER}."
    if status == 429:
        return f"{who}{at} takes no more requests for now: wait a minute, see to the account's limits, {ANOTHER}."
    if status in (408, 504) or "Timeout" in kinds:
        return f"{who}{at} did not answer in time: it may be busy or still loading, so ask again, {ANOTHER}."
    if status >= 500:
        return f"{who}{at} has a fault of its own (status {status}): ask again later, {ANOTHER}."
    if status:
        return f"{who}{at} refused the request ({said}): begin a new chat if this one is long, {ANOTHER}."
    if _UNREACHED.search(kinds):
        reason = quoted(chain[-1], model)
        return f"{who} does not answer{at} ({reason}): start its server, check its address and the network, {ANOTHER}."
    if isinstance(error, NotImplementedError):
        return f"{who} cannot call tools: choose an LLM that can with --llm."
    return f"{who}{at} failed ({said}): ask again, {ANOTHER}."


def unusable(spec: str, error: BaseException, options: Mapping[str, Any]) -> str:
    """The sentence for an error from making the model that `spec` names."""
    if "infer model provider" in _words(error):
        provider = spec.partition(":")[0]
        return (
            f"{spec!r} cannot be used: LangChain knows no provider {provider!r}; any OpenAI-compatible server is "
            "openai:NAME with OPENAI_BASE_URL set to its address."
        )
    if _NO_KEY.search(_words(error)):
        return f"{spec!r} cannot be used without a key: set {_variable(error)} and start again, {ANOTHER}."
    return f"{spec!r} cannot be used: {quoted(error, options)}"


def quoted(error: BaseException, holder: Any = None) -> str:
    """An error's own words, shortened and without what `holder` and the environment keep secret."""
    text = _words(error)
    for secret in sorted({*_secrets(holder), *_secrets(os.environ)}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _QUERY.sub(r"\1", _SECRET.sub("***", text))[:QUOTED].rstrip(" .")


def _words(error: BaseException) -> str:
    if isinstance(error, ValidationError):  # whose text quotes what was given, keys included
        details = error.errors(include_input=False, include_url=False)
        return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}".strip(": ") for detail in details)
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def _secrets(holder: Any, depth: int = 2) -> Iterator[str]:
    """Values that stand under a secret's name in `holder` and in what it holds."""
    for name, value in (holder if isinstance(holder, Mapping) else getattr(holder, "__dict__", {})).items():
        if depth and isinstance(value, Mapping | BaseModel):
            yield from _secrets(value, depth - 1)
            continue
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and (text is not value or _SECRET_NAME.search(str(name))):
            yield from (part for part in {text, *text.split()} if len(part) >= 6)  # "Bearer abc..." is two


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int:
    """The HTTP status that an error speaks of, 0 if none."""
    for value in (getattr(error, "status_code", 0), getattr(getattr(error, "response", None), "status_code", 0)):
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return 0


def _address(chain: list[BaseException], model: Any) -> str:
    """Where the LLM is served, as the person set it, else as it was asked; without user, password and query."""
    configured = urlsplit(_first(model, _ADDRESSES))
    if configured.hostname:
        return f"{configured.scheme}://{configured.netloc.rpartition('@')[2]}{configured.path}".rstrip("/")
    for link in chain:
        try:
            asked = urlsplit(str(link.request.url))  # type: ignore[attr-defined]
        except (AttributeError, RuntimeError):  # httpx raises the latter where there was no request
            continue
        return f"{asked.scheme}://{asked.netloc.rpartition('@')[2]}"
    return ""


def _variable(error: BaseException, model: Any = None) -> str:
    """The environment variable that the key is read from."""
    if "huggingface" in type(model).__module__:
        return "HF_TOKEN"
    known = list(getattr(model, "lc_secrets", {}).values()) or _VARIABLE.findall(_words(error))
    return str(known[0]) if known else "the provider's API key in the environment"


def _first(model: Any, names: tuple[str, ...]) -> str:
    """The first of these attributes that is a text, "" if none is."""
    return next((value for name in names if isinstance(value := getattr(model, name, None), str) and value), "")
