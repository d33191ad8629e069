"""The session that a factory writes to, and when it is committed."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import factory
import pytest
from flask import Flask
from sqlalchemy import func, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from flask_testbed.errors import FactoryError
from flask_testbed.factories import (
    writing_to,
)
from tests.support.factory_toys import (
    Dog,
    DogFactory,
    FlushedOwnerFactory,
    KnownOwnerFactory,
    Owner,
    OwnerFactory,
    PendingOwnerFactory,
    db,
)


def count(session: Any, model: type) -> int:
    number = session.scalar(select(func.count()).select_from(model))
    assert isinstance(number, int)
    return number


# The session


def test_a_row_is_committed_to_the_current_session(toy: Flask, elsewhere: Session) -> None:
    owner = OwnerFactory(name="Ada")
    assert owner in db.session
    assert elsewhere.scalar(select(Owner.name)) == "Ada"


def test_without_an_application_context_the_error_says_how_to_get_one() -> None:
    with pytest.raises(FactoryError) as caught:
        OwnerFactory()
    message = str(caught.value)
    assert message.startswith("OwnerFactory writes to the database of the current application")
    assert "with app.app_context():" in message
    assert "OwnerFactory.build()" in message


def test_another_session_serves_one_call_and_its_parents(elsewhere: Session) -> None:
    dog = DogFactory(_session=elsewhere)
    assert inspect(dog).session is elsewhere
    assert inspect(dog.owner).session is elsewhere
    assert inspect(DogFactory()).session is db.session()


def test_another_session_serves_a_whole_batch(elsewhere: Session, commits: list[Session]) -> None:
    dogs = DogFactory.create_batch(3, _session=elsewhere)
    assert {inspect(dog).session for dog in dogs} == {elsewhere}
    assert commits == [elsewhere]


def test_a_scoped_session_can_be_given(toy: Flask) -> None:
    assert inspect(OwnerFactory(_session=db.session)).session is db.session()


def test_another_session_needs_no_application_context(toy_app: Flask) -> None:
    with toy_app.app_context():
        engine = db.engine
    with Session(engine) as session:
        assert inspect(OwnerFactory(_session=session)).session is session


def test_no_session_and_no_row_is_kept(toy: Flask) -> None:
    with Session(db.engine) as session:
        owner = KnownOwnerFactory(_session=session, name="Ada")
        DogFactory(_session=session, owner=owner)
        alive = [weakref.ref(session), weakref.ref(owner)]
    del session, owner
    gc.collect()
    assert [ref() for ref in alive] == [None, None]


# One call, one commit


def test_a_row_and_its_parents_are_one_commit(commits: list[Session]) -> None:
    DogFactory()
    assert commits == [db.session()]


def test_a_batch_is_one_commit(commits: list[Session]) -> None:
    assert len(DogFactory.create_batch(5)) == 5
    assert commits == [db.session()]


def test_rows_made_by_hooks_belong_to_the_call(commits: list[Session]) -> None:
    owner = OwnerFactory(with_dogs=3)
    assert len(owner.dogs) == 3
    assert commits == [db.session()]


def test_rows_made_by_lazy_declarations_belong_to_the_call(commits: list[Session]) -> None:
    DogFactory(owner=factory.LazyFunction(lambda: OwnerFactory(name="lazily made")))
    assert commits == [db.session()]


def test_what_hooks_change_is_saved(toy: Flask, elsewhere: Session) -> None:
    class TrainedDogFactory(DogFactory):
        class Meta:
            registry = None

        @factory.post_generation
        def train(self, create: bool, extracted: Any, **kwargs: Any) -> None:
            self.trick = f"knows number {self.id}"

    dog = TrainedDogFactory()
    assert elsewhere.scalar(select(Dog.trick)) == f"knows number {dog.id}"


def test_what_hooks_change_is_saved_for_a_part_of_another_kind(
    toy: Flask, elsewhere: Session
) -> None:
    class RenamedOwnerFactory(OwnerFactory):
        class Meta:
            registry = None

        @factory.post_generation
        def rename(self, create: bool, extracted: Any, **kwargs: Any) -> None:
            self.name = "renamed"

    class MessageFactory(factory.DictFactory):
        sender = factory.SubFactory(RenamedOwnerFactory)

    MessageFactory()
    assert elsewhere.scalar(select(Owner.name)) == "renamed"


def test_flush_leaves_the_transaction_to_the_caller(
    commits: list[Session], elsewhere: Session
) -> None:
    owner = FlushedOwnerFactory()
    assert owner.id is not None
    assert commits == []
    assert count(elsewhere, Owner) == 0
    db.session.commit()
    assert count(elsewhere, Owner) == 1


def test_without_persistence_a_row_is_only_added(commits: list[Session]) -> None:
    owner = PendingOwnerFactory()
    assert inspect(owner).pending
    assert commits == []


def test_inside_writing_to_nothing_is_committed(commits: list[Session]) -> None:
    with writing_to(db.session()):
        DogFactory.create_batch(2)
    assert commits == []
    db.session.rollback()
    assert count(db.session, Dog) == 0


def test_the_session_that_is_in_use_can_be_given_and_is_still_not_committed(
    commits: list[Session],
) -> None:
    with writing_to(db.session()):
        OwnerFactory(_session=db.session)
        OwnerFactory(_session=db.session())
    assert commits == []


# Failures


def test_a_call_that_fails_leaves_nothing_and_a_session_that_works(elsewhere: Session) -> None:
    OwnerFactory(name="Ada")
    with pytest.raises(IntegrityError):
        OwnerFactory.create_batch(2, name="Grace")
    assert db.session.scalars(select(Owner.name)).all() == ["Ada"]
    OwnerFactory(name="Edsger")
    assert count(elsewhere, Owner) == 2


def test_a_row_that_fails_leaves_no_parent_behind(toy: Flask) -> None:
    with pytest.raises(ZeroDivisionError):
        DogFactory(trick=factory.LazyAttribute(lambda dog: dog.owner.id / 0))
    assert count(db.session, Owner) == 0


def test_a_flushed_call_that_fails_spares_what_was_there_before(toy: Flask) -> None:
    FlushedOwnerFactory(name="Ada")
    with pytest.raises(IntegrityError):
        FlushedOwnerFactory.create_batch(2, name="Grace")
    db.session.commit()
    assert db.session.scalars(select(Owner.name)).all() == ["Ada"]


def test_after_a_failure_the_next_call_is_a_call_of_its_own(commits: list[Session]) -> None:
    with pytest.raises(IntegrityError):
        OwnerFactory.create_batch(2, name="Grace")
    OwnerFactory()
    assert commits == [db.session()]
