"""Databases that are made from an application's schema.

Templates, the test database of the commands, the development database, snapshots. May import
:mod:`flask_testbed.application` and :mod:`flask_testbed.isolation`. Begin with :mod:`.template`.
"""
