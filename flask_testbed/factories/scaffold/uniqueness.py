"""What must differ from row to row."""

from __future__ import annotations

from .column_kinds import Kind, kind_of
from .draft import Draft

__all__ = ["differ"]

#: What is best to differ from row to row; the rest is worse.
_PREFERENCE = {
    kind: rank
    for rank, kind in enumerate(
        [
            *(Kind.UUID, Kind.TEXT, Kind.INTEGER, Kind.RANGE, Kind.DECIMAL, Kind.ADDRESS),
            *(Kind.MOMENT, Kind.DAY, Kind.FLOAT, Kind.BYTES, Kind.TIME, Kind.SPAN),
        ]
    )
}


def differ(draft: Draft) -> None:
    """Let something differ from row to row in each set that must."""
    for columns in sorted(draft.unique_sets, key=lambda found: (len(found), sorted(found))):
        if not columns <= draft.columns.keys():
            continue
        if not any(draft.differs(one) for one in columns):
            _make_differ(draft, sorted(columns))
        optional = columns & draft.optional.keys()
        if optional and not any(draft.differs(one, full=True) for one in columns):
            _make_differ(draft, sorted(optional))


def _make_differ(draft: Draft, names: list[str]) -> None:
    ranked = sorted(names, key=lambda one: _PREFERENCE.get(kind_of(draft.columns[one].type), 99))
    for scarce in (False, True):
        for one in ranked:
            if draft.columns[one] in draft.filled:
                continue
            value = draft.value(draft.columns[one], unique=True)
            if value is not None and value.injective and value.scarce == scarce:
                values = draft.optional if one in draft.optional else draft.values
                values[one] = value
                return
