"""The dashboard."""

from flask import Blueprint

blueprint = Blueprint(
    "dashboard",
    __name__,
    static_folder="static",
    static_url_path="/static",
    template_folder="templates",
)
