"""What people and agents say in a scenario: hand-written sentences, with names from Faker."""

from __future__ import annotations

from random import Random

from faker import Faker

__all__ = ["Words"]

PRODUCTS = [
    "two-person tent",
    "down jacket",
    "camping stove",
    "trail backpack",
    "sleeping bag",
    "rain shell",
    "head torch",
    "trekking poles",
]
WAREHOUSES = ["Portland", "Reno", "Boise"]


#: How many of each the company has to do with. Faker would take longer for a name in each
#: sentence than all else takes together.
ACQUAINTANCES = 300


class Words:
    """Fills the gaps in sentences, always the same way for the same ``random``."""

    def __init__(self, random: Random) -> None:
        self._random = random
        faker = Faker("en_US")
        faker.seed_instance(random.getrandbits(64))
        known = range(ACQUAINTANCES)
        self._people = [f"{faker.first_name()} {faker.last_name()}" for _ in known]
        self._companies = [faker.company() for _ in known]
        self._cities = [faker.city() for _ in known]

    def gaps(self) -> dict[str, str]:
        """One choice for every gap, so that the sentences of one story speak of the same things."""
        choose = self._random
        return {
            "person": choose.choice(self._people),
            "company": choose.choice(self._companies),
            "city": choose.choice(self._cities),
            "product": choose.choice(PRODUCTS),
            "warehouse": choose.choice(WAREHOUSES),
            "order": f"LS-{choose.randint(40_000, 49_999)}",
            "ticket": f"SHOP-{choose.randint(300, 999)}",
            "amount": f"${choose.randint(18, 940)}.{choose.randint(0, 99):02}",
            "count": str(choose.randint(3, 48)),
        }
