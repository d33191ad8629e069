"""Rollback mode: the transactions of a test are savepoints of one that is never committed.

Begin with :mod:`.savepoints`, the states of a transaction, which sends nothing. :mod:`.transaction`
sends what it says, on the one connection to the server. Only :mod:`.underlying`, :mod:`.connection`
and :mod:`.cursors` know the driver, psycopg.
"""
