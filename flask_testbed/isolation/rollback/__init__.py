"""Rollback mode: the transactions of a test are savepoints of one that is never committed.

Begin with :mod:`.transaction`, the test transaction; :mod:`.connection` is the driver's connection
around it.
"""
