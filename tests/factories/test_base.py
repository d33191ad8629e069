"""What the factories extension promises, on toy models."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import uuid
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import factory
import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, event, func, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from flask_testbed import development_url, randomness
from flask_testbed.errors import FactoryError
from flask_testbed.factories import (
    After,
    Ago,
    BaseFactory,
    Factories,
    RelatedBatch,
    Token,
    Uuid,
    reseed,
    trait_names,
    writing_to,
)
from tests.support.paths import INSTANCE

M = TypeVar("M")
HOUR = timedelta(hours=1)


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Owner(db.Model):
    __tablename__ = "toy_owners"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    nick: Mapped[str | None] = mapped_column(unique=True)
    dogs: Mapped[list[Dog]] = relationship(back_populates="owner")


class Dog(db.Model):
    __tablename__ = "toy_dogs"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    trick: Mapped[str | None]
    tag: Mapped[str | None] = mapped_column(unique=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("toy_owners.id"))
    owner: Mapped[Owner] = relationship(back_populates="dogs")


factories = Factories()


class ToyFactory(BaseFactory[M], Generic[M]):
    class Meta:
        abstract = True
        registry = factories


class OwnerFactory(ToyFactory[Owner]):
    name = factory.Sequence("owner {}".format)
    with_dogs = RelatedBatch(f"{__name__}.DogFactory", "owner")


class DogFactory(ToyFactory[Dog]):
    class Params:
        clever = factory.Trait(trick="sings")
        lazy = factory.Trait(trick=factory.Iterator(["sleeps", "snores"]))

    name = factory.Faker("first_name")
    owner = factory.SubFactory(OwnerFactory)


class PuppyFactory(DogFactory):
    class Params:
        spotted = factory.Trait(name="Pongo")


class FlushedOwnerFactory(OwnerFactory):
    class Meta:
        sqlalchemy_session_persistence = "flush"


class PendingOwnerFactory(OwnerFactory):
    class Meta:
        sqlalchemy_session_persistence = None


class KnownOwnerFactory(OwnerFactory):
    class Meta:
        sqlalchemy_get_or_create = ("name",)


class KnownNickFactory(OwnerFactory):
    class Meta:
        sqlalchemy_get_or_create = ("name", "nick")


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    app = Flask("toy", instance_path=str(INSTANCE))
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, "toy_factories")
    db.init_app(app)
    factories.init_app(app, db)
    return app


@pytest.fixture
def toy(toy_app: Flask) -> Iterator[Flask]:
    """The toy application, current; the plugin puts its database back after each test."""
    with toy_app.app_context():
        yield toy_app


@pytest.fixture
def commits(toy: Flask) -> Iterator[list[Session]]:
    """Every real commit of any session, as it happens."""
    seen: list[Session] = []

    def after_commit(session: Session) -> None:
        # A savepoint that is released says so by the same event.
        if not session.in_nested_transaction():
            seen.append(session)

    with db.engine.connect():
        pass  # to make the database, if this is the first test that needs one, commits too
    event.listen(Session, "after_commit", after_commit)
    yield seen
    event.remove(Session, "after_commit", after_commit)


@pytest.fixture
def elsewhere(toy: Flask) -> Iterator[Session]:
    """Another session: it sees what is committed."""
    with Session(db.engine) as session:
        yield session


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


def test_without_init_app_the_error_names_both_causes() -> None:
    with Flask("bare").app_context(), pytest.raises(FactoryError) as caught:
        OwnerFactory()
    message = str(caught.value)
    assert "'bare' has no factories" in message
    assert "`factories.init_app(app, db)` was not called" in message
    assert "not the one that it was called for" in message


def test_init_app_twice_is_an_error(toy_app: Flask) -> None:
    with pytest.raises(FactoryError, match=r"'toy' has its factories already"):
        Factories().init_app(toy_app, db)


def test_build_needs_no_application() -> None:
    dog = DogFactory.build()
    assert dog.owner.name.startswith("owner ")
    assert inspect(dog).transient
    assert inspect(dog.owner).transient


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


@pytest.mark.parametrize("option", ["sqlalchemy_session", "sqlalchemy_session_factory"])
def test_a_session_in_meta_is_refused_when_the_factory_is_defined(option: str) -> None:
    with pytest.raises(FactoryError, match=f"KeptFactory.Meta sets '{option}'.*`_session=`"):
        type(BaseFactory)("KeptFactory", (BaseFactory,), {"Meta": type("Meta", (), {option: list})})


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
        @factory.post_generation
        def train(self, create: bool, extracted: Any, **kwargs: Any) -> None:
            self.trick = f"knows number {self.id}"

    dog = TrainedDogFactory()
    assert elsewhere.scalar(select(Dog.trick)) == f"knows number {dog.id}"


def test_what_hooks_change_is_saved_for_a_part_of_another_kind(
    toy: Flask, elsewhere: Session
) -> None:
    class RenamedOwnerFactory(OwnerFactory):
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


# Get or create


def test_get_or_create_finds_the_row(toy: Flask) -> None:
    assert KnownOwnerFactory(name="Ada") is KnownOwnerFactory(name="Ada")


def test_get_or_create_finds_a_row_that_differs_in_what_was_generated(toy: Flask) -> None:
    ada = KnownNickFactory(name="Ada", nick="countess")
    assert KnownNickFactory(nick="countess") is ada


def test_get_or_create_as_a_parent_uses_what_was_given_to_the_parent(toy: Flask) -> None:
    class TaggedDogFactory(DogFactory):
        owner = factory.SubFactory(KnownNickFactory)

    ada = KnownNickFactory(name="Ada", nick="countess")
    assert TaggedDogFactory(owner__nick="countess").owner is ada


def test_a_conflict_in_get_or_create_undoes_nothing_else(elsewhere: Session) -> None:
    KnownNickFactory(name="Ada", nick="countess")
    unsaved = Owner(name="in the same transaction")
    db.session.add(unsaved)
    with writing_to(db.session()):
        KnownNickFactory(nick="countess")
    db.session.commit()
    assert set(elsewhere.scalars(select(Owner.name))) == {"Ada", "in the same transaction"}


def test_a_row_lost_in_a_conflict_does_not_linger_with_its_parents(toy: Flask) -> None:
    class UniqueDogFactory(DogFactory):
        class Meta:
            sqlalchemy_get_or_create = ("tag", "name")

    rex = DogFactory(tag="1")
    owner = OwnerFactory(with_dogs=1)
    found = UniqueDogFactory(tag="1", owner=owner)
    assert found is rex
    assert len(owner.dogs) == 1


def test_a_conflict_that_no_row_explains_is_raised(toy: Flask) -> None:
    OwnerFactory(nick="countess")
    with pytest.raises(IntegrityError):
        KnownOwnerFactory(name="Ada", nick="countess")


def test_get_or_create_without_a_value_names_the_field(toy: Flask) -> None:
    with pytest.raises(FactoryError, match="KnownNickFactory looks its rows up by 'nick'"):
        KnownNickFactory()


# The registry


def test_the_registry_holds_every_factory_but_the_abstract_ones() -> None:
    names = {found.__name__ for found in factories}
    assert {"OwnerFactory", "DogFactory", "PuppyFactory"} <= names
    assert "ToyFactory" not in names
    assert len(factories) == len(list(factories))


def test_the_registry_finds_by_name() -> None:
    assert factories["OwnerFactory"] is OwnerFactory
    with pytest.raises(FactoryError, match=r"called 'CatFactory'. There are: .*DogFactory"):
        factories["CatFactory"]


def test_namesakes_are_told_apart_by_where_they_are() -> None:
    registry = Factories()
    twins = [
        type(BaseFactory)(
            "TwinFactory",
            (BaseFactory,),
            {
                "__module__": f"toys.{place}.twin",
                "Meta": type("Meta", (), {"model": Owner, "registry": registry}),
            },
        )
        for place in ("left", "right")
    ]
    assert [registry.name_of(twin) for twin in twins] == ["left.TwinFactory", "right.TwinFactory"]
    assert [registry["left.TwinFactory"], registry["right.TwinFactory"]] == twins
    with pytest.raises(FactoryError, match=r"say 'left.TwinFactory' or 'right.TwinFactory'"):
        registry["TwinFactory"]


def test_the_registry_finds_by_model_the_most_general_first() -> None:
    assert factories.for_model(Dog)[:2] == (DogFactory, PuppyFactory)
    assert factories.for_model(db.Model) == ()


def test_the_model_comes_from_the_type_parameter() -> None:
    assert OwnerFactory._meta.model is Owner
    assert PuppyFactory._meta.model is Dog
    assert ToyFactory._meta.abstract


def test_the_model_in_meta_comes_before_the_type_parameter() -> None:
    class ChiefFactory(ToyFactory[Owner]):
        class Meta:
            model = Dog
            registry = None

    assert ChiefFactory._meta.model is Dog
    assert ChiefFactory not in list(factories)


def test_trait_names_include_inherited_ones() -> None:
    assert trait_names(PuppyFactory) == ["clever", "lazy", "spotted"]
    assert trait_names(OwnerFactory) == []


# Reseeding


def names_and_numbers() -> list[object]:
    dogs = DogFactory.build_batch(3, lazy=True)
    return [
        *[(dog.name, dog.trick, dog.owner.name) for dog in dogs],
        factory.random.randgen.random(),
        randomness.random_uuid(),
    ]


def test_one_seed_gives_one_set_of_values() -> None:
    reseed("a test")
    first = names_and_numbers()
    assert names_and_numbers() != first
    reseed("a test")
    assert names_and_numbers() == first
    reseed("another test")
    assert names_and_numbers() != first


def test_numbers_seed_as_well_as_texts() -> None:
    reseed(7)
    first = names_and_numbers()
    reseed(7)
    assert names_and_numbers() == first


def test_reseeding_starts_sequences_and_iterators_over_once() -> None:
    reseed("a test")
    numbers = [OwnerFactory.build().name, DogFactory.build().owner.name]
    assert numbers == ["owner 0", "owner 1"]
    tricks = [DogFactory.build(lazy=True).trick, PuppyFactory.build(lazy=True).trick]
    assert tricks == ["sleeps", "snores"]


def test_a_descendant_that_comes_first_starts_the_shared_counter_over() -> None:
    OwnerFactory.build_batch(2)
    reseed("a test")
    assert FlushedOwnerFactory.build().name == "owner 0"
    assert OwnerFactory.build().name == "owner 1"


def test_a_counter_set_after_reseeding_keeps_its_number() -> None:
    reseed("a test")
    OwnerFactory.reset_sequence(40)
    assert OwnerFactory.build().name == "owner 40"


def test_the_streams_are_not_correlated() -> None:
    """factory_boy's own function puts its generator and Faker's into one state."""
    import faker.generator

    reseed("a test")
    OwnerFactory.build()
    drawn = {
        factory.random.randgen.random(),
        faker.generator.random.random(),
        randomness.generator().random(),
    }
    assert len(drawn) == 3


def test_the_stream_survives_what_other_plugins_do_to_factory_boy() -> None:
    reseed("a test")
    factory.random.set_random_state(random.Random(0).getstate())
    first = randomness.random_uuid()
    factory.random.set_random_state(random.Random(0).getstate())
    assert randomness.random_uuid() != first


def test_reseeding_imports_neither_factory_boy_nor_faker() -> None:
    code = (
        "import sys; from flask_testbed.randomness import reseed; reseed(1);"
        "print(sorted({'faker', 'factory'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Declarations


class Thing:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class ThingFactory(ToyFactory[Any]):
    class Meta:
        model = Thing
        registry = None

    key = Uuid()
    token = Token()
    seen_at = Ago(HOUR, 2 * HOUR)
    left_at = After("seen_at", HOUR)


def test_uuids_are_seeded_and_random() -> None:
    keys = [ThingFactory.build().key for _ in range(100)]
    assert len(set(keys)) == 100
    assert {key.version for key in keys} == {4}
    assert {type(key) for key in keys} == {uuid.UUID}


def test_tokens_have_their_length() -> None:
    tokens = {ThingFactory.build().token for _ in range(200)}
    assert len(tokens) == 200
    assert {len(token) for token in tokens} == {12}


def test_moments_are_aware_and_relative_to_now() -> None:
    before = datetime.now(UTC)
    thing = ThingFactory.build()
    assert before - 2 * HOUR <= thing.seen_at <= datetime.now(UTC) - HOUR
    assert thing.left_at == thing.seen_at + HOUR


def test_moments_are_relative_to_a_frozen_now() -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    with randomness.frozen(moment):
        seen = [ThingFactory.build().seen_at for _ in range(20)]
    assert moment - 2 * HOUR <= min(seen) < max(seen) <= moment - HOUR
    assert randomness.now() > moment + HOUR


def test_a_frozen_now_needs_a_time_zone() -> None:
    with (
        pytest.raises(ValueError, match="has no time zone"),
        randomness.frozen(datetime(2020, 1, 1)),
    ):
        pass


def test_related_rows_are_built_when_the_row_is_built() -> None:
    owner = OwnerFactory.build(with_dogs=2, with_dogs__clever=True)
    assert [dog.trick for dog in owner.dogs] == ["sings", "sings"]
    assert all(inspect(dog).transient for dog in owner.dogs)


@pytest.mark.parametrize("size", [-1, True, "3", 1.5])
def test_related_rows_need_a_whole_number(size: object) -> None:
    with pytest.raises(FactoryError, match="is not a number of related rows"):
        OwnerFactory.build(with_dogs=size)
