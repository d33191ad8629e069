"""As little of Django as there can be: what it does not have need not be put back either."""

import os

SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["benchmarks.peers.suites.shelves"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "benchmarks.peers.suites.shelves.views"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        # As the pool of SQLAlchemy does: a connection for each request would cost 3 ms.
        "CONN_MAX_AGE": None,
        "TEST": {"NAME": os.environ["BENCHMARK_DATABASE"]},
    }
}
