"""The columns that must not have the same values in two rows."""

from __future__ import annotations

from .column_kinds import Kind, kind_of
from .draft import FactoryDraft

__all__ = ["make_unique"]

#: The kinds of columns that are made unique, the most suitable first.
_PREFERENCE = {
    kind: rank
    for rank, kind in enumerate(
        [
            *(Kind.UUID, Kind.TEXT, Kind.INTEGER, Kind.RANGE, Kind.DECIMAL, Kind.INET),
            *(Kind.DATETIME, Kind.DATE, Kind.FLOAT, Kind.BYTES, Kind.TIME, Kind.INTERVAL),
        ]
    )
}


def make_unique(draft: FactoryDraft) -> None:
    """Make one column of each unique set unique by itself."""
    for columns in sorted(draft.unique_sets, key=lambda found: (len(found), sorted(found))):
        if not columns <= draft.columns.keys():
            continue
        if not any(draft.is_unique_by_row(one) for one in columns):
            _make_one_unique(draft, sorted(columns))
        optional = columns & draft.optional.keys()
        if optional and not any(draft.is_unique_by_row(one, full=True) for one in columns):
            _make_one_unique(draft, sorted(optional))


def _make_one_unique(draft: FactoryDraft, names: list[str]) -> None:
    ranked = sorted(names, key=lambda one: _PREFERENCE.get(kind_of(draft.columns[one].type), 99))
    for scarce in (False, True):
        for one in ranked:
            if draft.columns[one] in draft.keys:
                continue
            value = draft.value(draft.columns[one], unique=True)
            if value is not None and value.unique and value.scarce == scarce:
                values = draft.optional if one in draft.optional else draft.values
                values[one] = value
                return
