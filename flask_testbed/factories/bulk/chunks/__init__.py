"""Some thousand rows that are evaluated together: the unit of all work in bulk.

Begin with :mod:`.chunk`; :mod:`.values` has the representations of a column.
"""
