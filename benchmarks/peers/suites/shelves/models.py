"""The same tables as those of :mod:`benchmarks.peers.models`, for Django."""

from __future__ import annotations

import os
from typing import Any

from django.db import models
from django.db.models.functions import Now


def model(number: int) -> type[models.Model]:
    """A table that refers to another. A unique field would have an index for LIKE, too."""
    name = f"shelf_{number}" if number else "shelf"
    meta = {
        "db_table": name,
        "constraints": [models.UniqueConstraint(fields=["name"], name=f"{name}_name_key")],
    }
    members: dict[str, Any] = {
        "__module__": __name__,
        "name": models.TextField(),
        "made": models.DateTimeField(db_default=Now()),
        "Meta": type("Meta", (), meta),
    }
    if number:
        parent = "Shelf" if number < 3 else f"Shelf{number // 2}"
        members["parent"] = models.ForeignKey(parent, models.CASCADE)
    return type(f"Shelf{number or ''}", (models.Model,), members)


shelves = [model(number) for number in range(int(os.environ["BENCHMARK_TABLES"]))]
Shelf: Any = shelves[0]
