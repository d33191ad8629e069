"""People."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import factory

from app.governance.models import User, UserRole, UserStatus
from factories.base import BaseFactory
from factories.text import slug
from flask_testbed.factories import Ago, Token, Uuid

__all__ = ["PASSWORD", "AdminUserFactory", "MemberUserFactory", "UserFactory", "password_hash"]

#: What every user that a factory makes logs in with, unless the call gives another ``password``.
PASSWORD = "correct horse battery staple"


def password_hash(password: str, salt: str) -> str:
    """A hash that Werkzeug's ``check_password_hash`` accepts, of one round only.

    Werkzeug's own takes a tenth of a second, as it should, and its salt cannot be seeded.
    """
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 1)
    return f"pbkdf2:sha256:1${salt}${digest.hex()}"


class UserFactory(BaseFactory[User]):
    """A person with an active account, a member. ``password`` is what to log in with."""

    class Params:
        password = PASSWORD
        # What makes the address unique: two people may share a name, two runs a sequence.
        token = Token()
        domain = factory.Faker("safe_domain_name")

        super_admin = factory.Trait(role=UserRole.SUPER_ADMIN)
        admin = factory.Trait(role=UserRole.ADMIN)
        team_lead = factory.Trait(role=UserRole.TEAM_LEAD)
        member = factory.Trait(role=UserRole.MEMBER)
        viewer = factory.Trait(role=UserRole.VIEWER)
        guest = factory.Trait(role=UserRole.GUEST)

        active = factory.Trait(status=UserStatus.ACTIVE)
        suspended = factory.Trait(status=UserStatus.SUSPENDED)
        pending = factory.Trait(status=UserStatus.PENDING)
        deleted = factory.Trait(status=UserStatus.DELETED)

    id = Uuid()
    email = factory.LazyAttribute(
        lambda user: (
            f"{slug(user.first_name, 80)}.{slug(user.last_name, 80)}.{user.token}@{user.domain}"
        )
    )
    password_hash = factory.LazyAttribute(lambda user: password_hash(user.password, user.token))
    first_name = factory.Faker("first_name")
    last_name = factory.Faker("last_name")
    role = UserRole.MEMBER
    status = UserStatus.ACTIVE
    phone = factory.Faker("phone_number")
    avatar_url = factory.LazyAttribute(lambda user: f"https://avatars.example.com/{user.token}.png")
    created_at = Ago(timedelta(days=90), timedelta(days=365))


class AdminUserFactory(UserFactory):
    """A person who may do anything."""

    role = UserRole.SUPER_ADMIN


class MemberUserFactory(UserFactory):
    """A member with an active account, also if the plain user should one day be another."""

    role = UserRole.MEMBER
    status = UserStatus.ACTIVE
