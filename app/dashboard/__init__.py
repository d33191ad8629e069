"""What a person looks at."""

from __future__ import annotations

from app.dashboard.views import blueprint

__all__ = ["blueprint"]
