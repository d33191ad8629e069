"""Fixtures of class, module, package and session scope, in projects of somebody else's.

What becomes of the rows in the database is in test_layers_of_data.py.
"""

from __future__ import annotations

import pytest

from tests.support.projects import Project
from tests.support.servers import Stock

MODELS = """
    from __future__ import annotations
    from flask import Flask
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy import ForeignKey
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class Author(Base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(unique=True)
        books: Mapped[list[Book]] = relationship(back_populates="author")

    class Book(Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
        author: Mapped[Author | None] = relationship(back_populates="books")

    def titles():
        return sorted(db.session.scalars(db.select(Book.title)))

    def add(title):
        return save(Book(title=title))

    def save(instance):
        db.session.add(instance)
        db.session.commit()
        return instance
"""


@pytest.fixture
def library(project: Project) -> Project:
    """A project with authors and books."""
    project.write(models=MODELS)
    return project


def passes(project: Project, tests: int, *arguments: str, **environment: str) -> None:
    """All tests of a project pass, with nothing printed but that."""
    outcome = project.pytest(*arguments, **environment)
    assert outcome.counts() == {"passed": tests}, outcome.text


SCOPES = {
    "conftest": """
        import pytest
        from toyapp import create_app
        from models import add, titles

        @pytest.fixture(scope="session")
        def app():
            return create_app()

        @pytest.fixture(scope="session")
        def everywhere(app):
            return add("session")

        @pytest.fixture(scope="package")
        def package(everywhere):
            add("package")
            yield
            assert titles() == ["package", "session"]

        @pytest.fixture(scope="module")
        def module(package):
            add("module")

        @pytest.fixture(scope="class")
        def klass(module, everywhere):
            everywhere.title = "renamed"
            add("class")
    """,
    "test_1": """
        import pytest
        from models import Book, add, db, titles

        @pytest.fixture(autouse=True)
        def harm(app):
            yield
            db.session.execute(db.update(Book).values(title="harmed"))
            db.session.add(Book(title="more"))
            db.session.commit()

        @pytest.mark.parametrize("n", [1, 2])
        def test_module(module, n):
            assert titles() == ["module", "package", "session"]

        class TestClass:
            @pytest.mark.parametrize("n", [1, 2])
            def test_class(self, klass, n, client):
                assert titles() == ["class", "module", "package", "renamed"]
                client.post("/books/request")
                assert "request" in titles()

        def test_after_the_class(app):
            assert titles() == ["module", "package", "session"]
    """,
    "test_2": """
        from models import titles

        def test_after_the_module(app):
            assert titles() == ["package", "session"]

        def test_a_second_module(module):
            assert titles() == ["module", "package", "session"]
    """,
}


@pytest.mark.parametrize("role", ["boss", "maker"])
def test_every_test_of_a_scope_finds_its_rows_intact(
    library: Project, stock: Stock, role: str
) -> None:
    library.write(**SCOPES)
    passes(library, 7, DATABASE_URL=stock.url("own", role))
    assert "own" not in "".join(stock.databases())


def test_each_worker_has_layers_of_its_own(library: Project) -> None:
    library.write(**SCOPES)
    passes(library, 5, "-n2", "test_1.py")


def test_instances_are_fresh_in_each_test(library: Project) -> None:
    library.write(
        test_it="""
            from dataclasses import dataclass
            import pytest
            from sqlalchemy import inspect
            from models import Author, Book, db, save

            @dataclass
            class World:
                authors: list
                books: dict

            @pytest.fixture(scope="module")
            def ada(app):
                return save(Author(name="Ada", books=[Book(title="one"), Book(title="two")]))

            @pytest.fixture(scope="module")
            def world(app, ada):
                # Builds on another, and loads with a context of its own.
                assert sorted(book.title for book in ada.books) == ["one", "two"]
                with app.app_context():
                    bob = save(Author(name="Bob"))
                    return World([bob], {"late": save(Book(title="late", author_id=bob.id))})

            @pytest.fixture
            def third(ada):
                return save(Book(title="third", author=ada))

            @pytest.mark.parametrize("n", range(3))
            def test_ada(ada, n):
                assert inspect(ada).persistent and ada in db.session
                assert ada.name == "Ada"
                assert sorted(book.title for book in ada.books) == ["one", "two"]
                ada.name = f"changed {n}"
                ada.books.pop()
                if n == 1:
                    db.session.commit()

            @pytest.mark.parametrize("n", range(3))
            def test_delete(ada, n):
                for book in ada.books:
                    db.session.delete(book)
                db.session.delete(ada)
                db.session.commit()
                assert inspect(ada).detached

            def test_another_key(ada):
                ada.books = []
                db.session.commit()
                ada.id = 99
                db.session.commit()

            @pytest.mark.parametrize("n", range(2))
            def test_world(world, ada, n):
                bob = world.authors[0]
                assert (ada.id, ada.name, bob.name) == (1, "Ada", "Bob")
                assert world.books["late"].author is bob
                world.books["late"].author = ada
                db.session.commit()
                assert len(ada.books) == 3

            def test_children(third, ada, app):
                assert third in ada.books
                app.test_client().post("/books/request")
                assert db.session.query(Book).count() > 3

            def test_costs_no_query(ada, world, assert_queries):
                with assert_queries(0):
                    ada
                with assert_queries(1):
                    assert ada.name == "Ada"
        """
    )
    passes(library, 11)
    passes(library, 11, "-p", "no:flask")


def test_many_instances_are_handed_to_those_who_name_their_fixture(library: Project) -> None:
    library.write(
        test_it="""
            import pytest
            from models import Book, db

            MADE = []

            @pytest.fixture(scope="module", params=[100, 101])
            def books(app, request):
                MADE[:] = [Book(title=str(n)) for n in range(request.param)]
                db.session.add_all(MADE)
                db.session.commit()
                return MADE

            def test_named(books):
                assert books[-1] in db.session
                assert books[-1].title == str(len(books) - 1)

            @pytest.mark.usefixtures("books")
            def test_named_by_a_mark():
                assert all(book in db.session for book in MADE)

            def test_not_named(app):
                assert (MADE[0] in db.session) == (len(MADE) == 100)
        """
    )
    passes(library, 5)


def test_a_fixture_has_a_context_and_its_rows_in_its_teardown(library: Project) -> None:
    library.write(
        test_it="""
            import pytest
            from sqlalchemy import event
            from models import Author, Book, db, save, titles

            @pytest.fixture(scope="module")
            def ada(app):
                ada = save(Author(name="Ada"))
                yield ada
                assert ada.name == "Ada"
                assert ada.books == []
                # Would fail if the test's book were still there.
                db.session.execute(db.text("DELETE FROM author"))
                db.session.commit()

            @pytest.fixture(scope="class")
            def context(app):
                with app.app_context():
                    save(Book(title="in its own context"))
                    yield app
                    assert titles() == ["in its own context"]

            def test_it(ada):
                save(Book(title="child", author=ada))

            class TestOwn:
                @pytest.mark.parametrize("n", range(2))
                def test_own_context(self, context, n):
                    assert titles() == ["in its own context"]
                    save(Book(title="more"))

            def test_last(app):
                assert titles() == []
        """
    )
    passes(library, 4)
    passes(library, 4, "-p", "no:flask")


def test_a_fixture_finds_its_rows_even_when_the_run_is_interrupted(library: Project) -> None:
    library.write(
        test_it="""
            import pytest
            from models import add, titles

            @pytest.fixture(scope="module")
            def kept(app):
                add("kept")
                yield
                print("found", titles())

            def test_it(kept):
                add("more")
                raise KeyboardInterrupt
        """
    )
    outcome = library.pytest("-s")
    assert "found ['kept']" in outcome.out, outcome.text
    assert "Leaked" not in outcome.out


def test_rows_of_a_fixture_that_fails_go(library: Project) -> None:
    library.write(
        test_it="""
            import pytest
            from models import add, titles

            @pytest.fixture(scope="module")
            def first(app):
                add("first")

            @pytest.fixture(scope="module")
            def broken(first):
                add("broken")
                raise RuntimeError("half-way")

            @pytest.fixture(scope="module")
            def skips(first):
                add("skips")
                pytest.skip("no")

            def test_broken(broken): ...
            def test_again(broken): ...
            def test_skips(skips): ...

            def test_others(first):
                assert titles() == ["first"]

            @pytest.fixture(scope="class")
            def raises(first):
                add("raises")
                raise LookupError

            def test_goes_on(first, request):
                with pytest.raises(LookupError):
                    request.getfixturevalue("raises")
                assert titles() == ["first"]
        """
    )
    outcome = library.pytest()
    assert outcome.counts() == {"error": 2, "skipped": 1, "passed": 2}, outcome.text
    assert outcome.out.count("RuntimeError: half-way") >= 2


@pytest.mark.parametrize("mode", ["commit", "rollback"])
def test_a_fixture_that_a_test_asks_for_late_keeps_its_rows_and_not_the_tests(
    library: Project, mode: str
) -> None:
    library.write(
        test_it="""
            import pytest
            from models import Author, Book, add, db, save, titles

            @pytest.fixture(scope="module")
            def late(app):
                return add("late")

            @pytest.fixture(scope="module")
            def outer(app, request):
                add("before the inner")
                request.getfixturevalue("inner")
                add("after the inner")

            @pytest.fixture(scope="session")
            def inner(app):
                return add("inner")

            def test_writes_first(app, request):
                mine = add("mine")
                late = request.getfixturevalue("late")
                assert late in db.session
                assert titles() == ["late", "mine"]
                mine.title = "changed"
                db.session.commit()

            def test_reads_first(app, request):
                assert titles() == ["late"]
                request.getfixturevalue("outer")
                assert titles() == ["after the inner", "before the inner", "inner", "late"]

            @pytest.mark.parametrize("n", range(2))
            def test_later(late, n):
                assert late.title == "late"
                assert titles() == ["after the inner", "before the inner", "inner", "late"]
                late.title = "harmed"
                db.session.commit()
        """,
        test_jt="""
            from models import titles

            def test_the_session_goes_on(app):
                assert titles() == ["inner"]
        """,
    )
    passes(library, 5, f"--testbed-isolation={mode}")


def test_a_parameter_changes_under_a_fixture_that_lives_on(library: Project) -> None:
    library.write(
        test_it="""
            import pytest
            from models import add, titles

            @pytest.fixture(scope="module", params=["en", "fr"])
            def language(app, request):
                return add(request.param)

            @pytest.fixture(scope="module")
            def kept(app):
                return add("kept")

            def test_it(language, kept):
                assert language.title in ("en", "fr")
                assert titles() == sorted([language.title, "kept"])

            def test_again(language, kept):
                assert titles() == sorted([language.title, "kept"])
        """
    )
    passes(library, 4)


def test_a_fixture_and_a_test_may_change_the_schema(library: Project) -> None:
    library.write(
        test_it="""
            import pytest
            from models import add, db, titles

            def tables():
                return db.inspect(db.engine).get_table_names()

            @pytest.fixture(scope="module")
            def book(app):
                add("kept")

            @pytest.fixture(scope="class")
            def extra(book):
                db.session.execute(db.text("CREATE TABLE extra (id int)"))
                db.session.commit()
                add("extra")

            def test_before(book):
                assert tables() == ["author", "book"]

            @pytest.mark.parametrize("n", range(2))
            def test_drop(book, n):
                assert titles() == ["kept"]
                db.session.commit()
                db.drop_all()

            class TestExtra:
                @pytest.mark.parametrize("n", range(2))
                def test_extra(self, extra, n):
                    assert tables() == ["author", "book", "extra"]
                    assert titles() == ["extra", "kept"]
                    db.session.execute(db.text("DROP TABLE extra"))
                    db.session.commit()
                    db.drop_all()

            def test_after(book):
                assert tables() == ["author", "book"]
                assert titles() == ["kept"]
        """
    )
    passes(library, 6)


def test_values_are_a_function_of_the_fixture_and_sequences_go_on_after_it(
    library: Project,
) -> None:
    library.write(
        factories="""
            import factory
            from flask_testbed.factories import BaseFactory
            from flask_testbed.randomness import generator
            from models import Author

            class AuthorFactory(BaseFactory[Author]):
                name = factory.Sequence(lambda n: f"author {n}")
        """,
        test_it="""
            import pytest
            from factories import AuthorFactory
            from flask_testbed import Factories
            from flask_testbed.randomness import generator
            from models import Author, db
            from toyapp import create_app

            DRAWN = []

            @pytest.fixture(scope="session")
            def app():
                app = create_app()
                Factories().init_app(app, db)
                return app

            @pytest.fixture(scope="module")
            def ada(app):
                DRAWN.append(generator().random())
                return AuthorFactory()

            def number():
                return generator().random()

            def test_one(app, request):
                first = number()
                AuthorFactory()
                request.getfixturevalue("ada")
                second = AuthorFactory()
                print("one", first, number(), *DRAWN)
                assert db.session.query(Author).count() == 3

            @pytest.mark.parametrize("n", range(2))
            def test_two(ada, n):
                author = AuthorFactory()
                print("two", n, number(), author.name, *DRAWN)
        """,
    )
    seed = "--testbed-seed=1"
    printed = [
        {line for line in library.pytest("-s", seed, *which).text.splitlines() if "0." in line}
        for which in (["test_it.py"], ["test_it.py::test_two"])
    ]

    def drawn(run: int) -> dict[str, list[str]]:
        lines = [line.partition("two ")[2].split() for line in printed[run]]
        return {words[0]: words for words in lines if words}

    assert len(drawn(1)) == 2, printed
    # Whoever sets the fixture up, it draws the same, and so does the test.
    assert {key: (words[1], words[-1]) for key, words in drawn(0).items()} == {
        key: (words[1], words[-1]) for key, words in drawn(1).items()
    }


def test_rows_are_kept_in_rollback_mode_too(library: Project) -> None:
    library.write(**SCOPES)
    passes(library, 7, "--testbed-isolation=rollback")


def test_a_kept_database_is_used_again_without_the_rows(library: Project) -> None:
    library.write(**SCOPES)
    for _ in range(2):
        outcome = library.pytest("--reuse-db")
        assert outcome.counts() == {"passed": 7}, outcome.text


def test_applications_that_share_a_database_share_the_rows(library: Project) -> None:
    library.write(
        test_it="""
            import pytest
            from toyapp import create_app
            from models import Book, add, db, save, titles

            @pytest.fixture(scope="module")
            def other(app):
                return create_app()

            @pytest.fixture(scope="module")
            def book(other):
                return add("by the other")

            @pytest.mark.parametrize("n", range(2))
            def test_it(app, book, other, n):
                assert titles() == ["by the other"]
                assert book.title == "by the other"
                with other.app_context():
                    add("more")
        """
    )
    passes(library, 2)


def test_each_folder_may_have_an_application_of_its_own(library: Project) -> None:
    conftest = """
        import pytest
        from toyapp import create_app

        @pytest.fixture(scope="session")
        def app():
            return create_app()
    """
    test = """
        import pytest
        from flask import current_app
        from models import add, titles

        @pytest.fixture(scope="module")
        def book(app):
            assert current_app._get_current_object() is app
            yield add("ours")
            assert current_app._get_current_object() is app

        def test_it(app, book):
            assert current_app._get_current_object() is app
            assert titles() == ["ours"]
    """
    for folder in ("one", "two"):
        (library.root / folder).mkdir()
        library.write(**{f"{folder}/conftest": conftest})
        library.write(**{f"{folder}/test_{name}_{folder}": test for name in ("first", "then")})
    # Both applications live when the last file's fixture is set up.
    order = ("one/test_first_one.py", "two/test_first_two.py", "two/test_then_two.py")
    passes(library, 4, *order, "one/test_then_one.py")


def test_a_fixture_that_never_connects_makes_no_database(library: Project, stock: Stock) -> None:
    library.write(
        test_it="""
            import pytest

            @pytest.fixture(scope="module")
            def number(app):
                return 42

            def test_it(number): ...
        """
    )
    before = stock.databases()
    passes(library, 1, DATABASE_URL=stock.url("own"))
    sessions = "SELECT sum(sessions) FROM pg_stat_database WHERE datname LIKE 'own%'"
    assert stock.rows(sessions) == [None]
    assert stock.databases() == before
