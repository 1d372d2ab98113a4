"""Where things live on this computer."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder of everything a person makes: `$ARTWRIGHT_HOME`, or the platform's data directory."""
    chosen = os.environ.get("ARTWRIGHT_HOME")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("artwright", appauthor=False))


def cache() -> Path:
    """The folder of what can be made again: `$ARTWRIGHT_HOME/cache`, or the platform's cache directory."""
    if os.environ.get("ARTWRIGHT_HOME"):
        return home() / "cache"
    import platformdirs

    return Path(platformdirs.user_cache_dir("artwright", appauthor=False))
