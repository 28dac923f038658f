"""The name of a run's backup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.creation.names import derive_backup_name
from airflow_ddb_backup.parameters import check_name

identity = st.tuples(st.text(), st.text(), st.text())


def test_a_derived_name_is_readable() -> None:
    """DAG, task and run stand in the name."""
    name = derive_backup_name("shop", "back_up", "scheduled__2026-11-23T02:00:00+00:00")
    assert name.startswith("shop.back_up.scheduled__2026-11-23T02-00-00-00-00.")


@given(identity)
def test_a_derived_name_is_legal_and_stable(who: tuple[str, str, str]) -> None:
    """With any IDs, every try of a run gets the same legal name."""
    assert check_name("backup_name", derive_backup_name(*who)) == derive_backup_name(*who)


@given(identity, identity)
def test_derived_names_differ_whenever_anything_differs(who: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """No two tasks or runs share a name."""
    assert (derive_backup_name(*who) == derive_backup_name(*other)) == (who == other)


@pytest.mark.parametrize(
    ("who", "other"),
    [
        (("a.b", "c", "r"), ("a", "b.c", "r")),
        (("a", "b.r", "1"), ("a", "b", "r.1")),
        (("a", "b", "r:1"), ("a", "b", "r+1")),
        (("d" * 250, "b", "r1"), ("d" * 250, "b", "r2")),
    ],
)
def test_names_that_read_alike_differ(who: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Where joining, cleaning or cutting makes two ids look the same, the digest tells them apart."""
    assert derive_backup_name(*who) != derive_backup_name(*other)
