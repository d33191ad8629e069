"""Some thousand rows that are evaluated together: the unit of work of bulk creation.

Imports nothing else of :mod:`..bulk`. Begin with :mod:`.chunk`; :mod:`.values` has the
representations of a column.
"""
