"""Suites of tests that a process of pytest runs, and what takes the place of their conftest."""
