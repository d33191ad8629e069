"""Every factory of the application, with every trait, against its database."""

from __future__ import annotations

from flask import Flask

from flask_testbed.factories.lint import lint

#: Enough to find what is wrong now and then; ``flask factories lint`` takes more.
SAMPLES = 30


def test_every_factory_and_every_trait_is_accepted_and_no_model_lacks_one(app: Flask) -> None:
    report = lint(app, samples=SAMPLES)

    assert report.faults == ()
    assert report.without_factory == ()
    assert report.factories > 0
