"""Who the agents are, and how far they are trusted."""

from __future__ import annotations

from app.governance.views import blueprint

__all__ = ["blueprint"]
