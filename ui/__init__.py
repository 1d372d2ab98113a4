"""The Gradio app. `launch` serves it; `build` gives its `gr.Blocks` to serve in another way.

Gradio takes seconds to import and reports usage by default, so it is imported on demand, with that switched off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gradio as gr

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def build(llm: Any = None) -> gr.Blocks:
    """The app as a `gr.Blocks`.

    `llm` is a SPEC (`embedded`, a folder, a hub id, `provider:model`) or a LangChain chat model. Give `.launch()` the
    keywords of `ui.theme.look()`, or it looks like any Gradio app.
    """
    _prepare()
    from ui.page import blocks

    return blocks(llm)


def launch(
    host: str = "127.0.0.1",
    port: int = 7860,
    llm: Any = None,
    *,
    auth: tuple[str, str] | None = None,
    wait: bool = True,
) -> gr.Blocks:
    """Serve the app at `http://host:port` (port 0: any free one) and print that address; with `wait`, until ctrl-C.

    `auth` is (user, password). Raises ValueError when the port is taken, when `llm` cannot be used, when the cache
    cannot be written, or when `host` is open to other computers without `auth`.
    """
    if host not in LOOPBACK and auth is None:
        raise ValueError(
            f"Serving on {host} opens the app to other computers; set ARTWRIGHT_AUTH=user:password, or use 127.0.0.1."
        )
    if llm is None or isinstance(llm, str):
        from chains.chat_model import chat_model

        llm = chat_model(llm)
    app = build(llm)
    from ui.theme import look

    try:
        app.launch(
            server_name=host,
            server_port=port or _free_port(host),
            auth=auth,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            run_history=False,
            allowed_paths=[],
            **look(),
        )
    except OSError as error:
        raise ValueError(f"Port {port} on {host} cannot be served ({error}); choose another with --port.") from error
    print(f"Artwright is at http://{host}:{app.server_port} (ctrl-C stops it)", flush=True)
    if wait:
        app.block_thread()
    return app


def _free_port(host: str) -> int:
    import socket

    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def _prepare() -> None:
    """Set what Gradio reads from the environment when it is imported: no usage reports, and a cache of our own.

    Raises ValueError when the cache cannot be written.
    """
    import os
    from pathlib import Path

    from generators.core.paths import cache

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    folder = Path(os.environ.setdefault("GRADIO_TEMP_DIR", str(cache() / "gradio")))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {folder} ({error.strerror}); set ARTWRIGHT_HOME elsewhere") from error
