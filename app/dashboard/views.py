"""The page at ``/``."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.dashboard.overview import read_overview

blueprint = Blueprint(
    "dashboard",
    __name__,
    static_folder="static",
    static_url_path="/static",
    template_folder="templates",
)


@blueprint.get("/")
def index() -> ResponseReturnValue:
    return render_template("dashboard/index.html", overview=read_overview())


@blueprint.app_template_filter("utc")
def utc(moment: datetime) -> str:
    """A moment as a person reads it."""
    return f"{moment.astimezone(UTC):%d %b %Y, %H:%M} UTC"


@blueprint.app_template_filter("words")
def words(value: str) -> str:
    """A stored value as a person reads it."""
    return value.replace("_", " ")
