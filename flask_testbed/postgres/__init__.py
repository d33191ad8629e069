"""One PostgreSQL server: connections, locks, databases and the labels on them.

Knows neither Flask nor an application. Imports :mod:`flask_testbed.errors` and
:mod:`flask_testbed.embedded`. Begin with :mod:`.cluster`, which finds, creates and drops databases.
"""
