"""From evaluated columns to rows in the database, by binary COPY.

May import :mod:`..chunks` and :mod:`..nodes`. Begin with :mod:`.batches`.
"""
