"""What CHECK constraints say of a row, read from their text.

Begin with :mod:`.checks`.
"""
