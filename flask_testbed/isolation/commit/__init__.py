"""Commit mode: transactions are real, and a reset restores what they changed.

The work is done by SQL functions that are installed into each template, so a reset is one round
trip. Begin with :mod:`.reset`; :mod:`.layers` has the rows that outlive a test.
"""
