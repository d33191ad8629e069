"""An application that is initialised a second time still leads to one test database."""

from __future__ import annotations

import pytest

from tests.support.projects import Project
from tests.support.servers import Stock

CONFTEST = """
    import os
    import pytest
    from toyapp import create_app
    from models import db

    captured = []

    @pytest.fixture(scope="session", params=["as it is", "another", "the test database"])
    def app(request):
        app = create_app()
        with app.app_context():
            captured[:] = [db.engine]
        uri = {"another": os.environ["OTHER_URL"], "the test database": os.environ["TEST_URL"]}
        if request.param in uri:
            app.config["SQLALCHEMY_DATABASE_URI"] = uri[request.param]
        app.extensions.pop("sqlalchemy")
        db.init_app(app)
        return app
"""

TEST = """
    import sqlalchemy as sa
    import conftest
    from models import add, db, titles
    from toyapp import os

    def name(connection):
        return connection.scalar(sa.text("SELECT current_database()"))

    def test_all_connections_lead_to_one_database(app):
        own = sa.create_engine(os.environ["DATABASE_URL"])
        with db.engine.connect() as one, db.engine.connect() as two, own.connect() as three:
            with conftest.captured[0].connect() as four:
                assert name(one) == name(two) == name(four)
                # The applications before this one may have the same URL.
                assert name(one).endswith("_test") and name(three).endswith("_test")
        own.dispose()
        assert titles() == []
        add("x")

    def test_what_was_written_is_gone(client):
        client.post("/books/y")
        assert titles() == ["y"]

    def test_again(client):
        assert titles() == []
"""


@pytest.mark.parametrize("chosen", [False, True])
def test_it_is_adopted_anew(stock: Stock, project: Project, chosen: bool) -> None:
    victims = [stock.create("own"), stock.create("other")]
    for victim in victims:
        victim.before = stock.databases()
    project.write(conftest=CONFTEST, test_it=TEST)
    driver = "postgresql+psycopg"
    environment = {
        "DATABASE_URL": stock.url("own", drivername=driver),
        "OTHER_URL": stock.url("other", drivername=driver),
        "TEST_URL": stock.url("own_test", drivername=driver),
    }
    if chosen:
        environment["TEST_DATABASE_URL"] = environment["TEST_URL"]

    outcome = project.pytest(**environment)

    assert outcome.counts() == {"passed": 9}, outcome.text
    for victim in victims:
        victim.assert_untouched()
