"""The private names of other libraries are there, and mean what the engine takes them for."""

from __future__ import annotations

from flask import Flask, current_app

from flask_testbed import _compat

# Werkzeug


def test_the_object_behind_a_proxy() -> None:
    app = Flask("toy")
    with app.app_context():
        assert _compat.unproxied(current_app) is app
