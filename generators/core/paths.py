"""Where things live on this computer; defined with the data, which looks there first."""

from __future__ import annotations

from generators.data.paths import cache, home

__all__ = ["cache", "home"]
