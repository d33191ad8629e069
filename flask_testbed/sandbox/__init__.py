"""The test database of one process, and the connections that are open on it.

May import :mod:`flask_testbed.databases` and everything before it. Begin with :mod:`.sandbox`.
"""
