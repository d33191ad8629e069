"""The commands, with Click. Each parses its arguments, calls one function and prints the result.

The function is in another package. May import every package except the pytest plugin. Begin with
:mod:`.test_db`.
"""
