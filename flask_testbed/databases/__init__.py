"""Databases that are built from an application's schema.

Templates, the test database of the commands, the development database and snapshots. May import
:mod:`flask_testbed.application` and :mod:`flask_testbed.isolation`. Begin with :mod:`.template`;
:mod:`.servers` finds the server of a database.
"""
