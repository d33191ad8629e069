"""What the testbed knows of an application: its settings, databases, routes and schema.

Connects to nothing. May import :mod:`flask_testbed.postgres` and :mod:`flask_testbed.embedded`.
Begin with :mod:`.databases`; :mod:`.target` decides where the test database is.
"""
