"""Which factory creates rows of which other: as data, as Mermaid and as SVG.

Begin with :mod:`.graph`.
"""
