"""What CHECK constraints require of a row, read from their SQL.

:mod:`.expressions` parses, :mod:`.checks` evaluates, :mod:`.limits` derives what each column may
hold. Begin with :mod:`.checks`.
"""
