"""The commands, with Click: each parses its arguments, calls one function and prints.

The work of a command is in the room of its name. Begin with :mod:`.test_db`.
"""
