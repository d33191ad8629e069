"""The two ways to undo what a test has done to its database.

:mod:`.commit` resets the database after a test whose transactions were real; :mod:`.rollback` runs
the transactions of a test as savepoints of one that is never committed. Neither knows Flask or
pytest. May import :mod:`flask_testbed.postgres`. Begin with :mod:`.mode`.
"""
