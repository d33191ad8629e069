"""The ways in which a declaration is evaluated for all rows of a chunk: one class for each.

May import :mod:`..chunks`. Begin with :mod:`.drawn`.
"""
