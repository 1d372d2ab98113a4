"""Chains: the chat model that calls tools, the tools, the agent. Loaded lazily: importing this package costs nothing.

    from chains import agent, chat_model, generator_tool, make, tools

Three of these functions have the names of the modules they live in. Importing such a module would put it in the
function's place, so this package keeps the functions; reach into the modules with `from chains.agent import ...`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chains.agent import agent, route, talk
    from chains.chat_model import chat_model
    from chains.pipelines import contest, illustrated_tale, variations
    from chains.tools import generator_tool, make, tools

__all__ = [
    "agent",
    "chat_model",
    "contest",
    "generator_tool",
    "illustrated_tale",
    "make",
    "route",
    "talk",
    "tools",
    "variations",
]

_HOMES = {
    "agent": "chains.agent", "route": "chains.agent", "talk": "chains.agent", "chat_model": "chains.chat_model",
    "generator_tool": "chains.tools", "make": "chains.tools", "tools": "chains.tools",
    "contest": "chains.pipelines", "illustrated_tale": "chains.pipelines", "variations": "chains.pipelines",
}  # fmt: skip


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
        setattr(self, name, value)
        return value


sys.modules[__name__].__class__ = _Package
