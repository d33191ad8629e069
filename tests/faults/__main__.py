"""``python -m tests.faults``."""

from tests.faults.matrix import main

main()
