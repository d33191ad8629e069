"""Projects, and the sessions in which agents work on them."""

from __future__ import annotations

from app.workspace.views import blueprint

__all__ = ["blueprint"]
