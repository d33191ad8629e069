"""What pytest calls around several tests: ``setUpClass()``, ``setup_module()``, and teardowns."""

from __future__ import annotations

import pytest

from flask_testbed.pytest_plugin.modes import MODES
from tests.support.projects import Project

SET_UP = """
    import unittest
    from models import Book, add, db, titles
    from toyapp import create_app

    def book(title):
        book = Book(title=title)
        db.session.add(book)
        db.session.commit()
        return book

    def setup_module():
        global novel
        with create_app().app_context():
            novel = book("novel")

    class TestUnittest(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            cls.app = create_app()
            cls.context = cls.app.app_context()
            cls.context.push()
            cls.book, cls.more = book("kept"), {"in a dictionary": [book("more")]}
            cls.engine = db.engine

        @classmethod
        def tearDownClass(cls):
            assert cls.book.title == "kept"
            cls.context.pop()

        def check(self):
            assert self.book in db.session
            assert [self.book.title, novel.title] == ["kept", "novel"]
            assert self.more["in a dictionary"][0].title == "more"
            assert titles() == ["kept", "more", "novel"]
            self.book.title = "changed"
            db.session.commit()
            db.session.delete(self.more["in a dictionary"][0])
            db.session.commit()

        def test_1(self):
            self.check()

        def test_2(self):
            self.check()

    class TestXunit:
        def setup_class(cls):
            with create_app().app_context():
                cls.book = book("kept")

        def test_1(self, app):
            assert [self.book.title, novel.title] == ["kept", "novel"]
            db.session.delete(self.book)
            db.session.commit()

        def test_2(self, app):
            assert self.book.title == "kept"
            assert titles() == ["kept", "novel"]
"""

TEAR_DOWN = """
    import pytest
    from models import Book, add, db, titles

    def execute(statement):
        db.session.execute(db.text(statement))
        db.session.commit()

    @pytest.fixture(scope="class", params=["", "with rows of its own"])
    def truncates(app, request):
        if request.param:
            add("own")
        yield
        assert titles() == ["own"] * bool(request.param)
        execute("TRUNCATE book")

    @pytest.fixture(scope="class")
    def alters(app):
        yield
        assert titles() == []
        execute("ALTER TABLE book ADD COLUMN pages int")

    @pytest.fixture(scope="module")
    def drops(app):
        yield
        assert titles() == []
        db.session.remove()
        db.drop_all()

    class TestTruncates:
        def test_it(self, truncates):
            add("x")

    class TestAlters:
        def test_it(self, alters):
            add("x")

    def test_late(app, request):
        add("mine")
        request.getfixturevalue("drops")
        assert titles() == ["mine"]

    def test_drops(drops):
        add("x")
        # It is still open when the test ends.
        db.session.add(Book(title="y"))
        db.session.flush()

    @pytest.mark.no_database
    def test_that_must_not_connect(drops): ...
"""


@pytest.mark.parametrize("mode", MODES)
def test_instances_are_usable_and_the_last_test_is_undone_first(
    project: Project, mode: str
) -> None:
    project.write(test_set_up=SET_UP, test_tear_down=TEAR_DOWN)

    outcome = project.pytest(f"--testbed-isolation={mode}")

    assert outcome.counts() == {"passed": 10}, outcome.text
    assert "Leaked" not in outcome.out


def test_the_last_test_is_undone_first_even_if_it_is_interrupted(project: Project) -> None:
    project.write(
        test_it="""
            import pytest
            from models import add, db, titles

            @pytest.fixture(scope="session")
            def last(app):
                yield
                print("found", titles())
                db.session.remove()
                db.drop_all()
                print("dropped")

            def test_it(last):
                add("x")
                raise KeyboardInterrupt
        """
    )

    outcome = project.pytest("-s", "--testbed-isolation=rollback")

    assert "found []\ndropped" in outcome.out, outcome.text
