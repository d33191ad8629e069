"""One class for each way in which a declaration is evaluated for all rows of a chunk.

May import :mod:`..chunks`. Begin with :mod:`.drawn`.
"""
