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


class Words:
    """Fills the gaps in sentences, always the same way for the same ``random``."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._faker = Faker("en_US")
        self._faker.seed_instance(random.getrandbits(64))

    def gaps(self) -> dict[str, str]:
        """One choice for every gap, so that the sentences of one story speak of the same things."""
        choose = self._random
        return {
            "person": f"{self._faker.first_name()} {self._faker.last_name()}",
            "company": self._faker.company(),
            "city": self._faker.city(),
            "product": choose.choice(PRODUCTS),
            "warehouse": choose.choice(WAREHOUSES),
            "order": f"LS-{choose.randint(40_000, 49_999)}",
            "ticket": f"SHOP-{choose.randint(300, 999)}",
            "amount": f"${choose.randint(18, 940)}.{choose.randint(0, 99):02}",
            "count": str(choose.randint(3, 48)),
        }
