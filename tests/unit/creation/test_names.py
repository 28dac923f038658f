"""The name of a run's backup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.creation.names import derive_backup_name, derived_prefix, run_digest, task_digest
from airflow_ddb_backup.parameters import check_name

identity = st.tuples(st.text(), st.text(), st.text(), st.text())


def test_a_derived_name_is_readable() -> None:
    """Namespace, DAG, task, run and table stand in the name."""
    name = derive_backup_name("blue", "shop", "back_up", "scheduled__2026-11-23T02:00:00+00:00", "orders")
    pattern = r"blue\.shop\.back_up\.[0-9a-f]{10}\.scheduled__2026-11-23T02-00-00-00-00\.orders\.[0-9a-f]{16}"
    assert re.fullmatch(pattern, name)


def test_names_stay_what_they_are() -> None:
    """A retry, a prune or a drill after an upgrade finds what the version before it has named."""
    task, run = ("", "shop", "back_up"), "scheduled__2026-11-23T02:00:00+00:00"
    readable = "shop.back_up.dc16f0b62c.scheduled__2026-11-23T02-00-00-00-00"
    assert derive_backup_name(*task, run) == f"{readable}.12b679767fdf9820"
    assert derived_prefix(*task) == "shop.back_up.dc16f0b62c."
    assert (task_digest(*task), run_digest("", "shop", "drill", "r", "orders")) == ("dc16f0b62c", "aaba413729fb976f")


@given(identity)
def test_a_derived_name_is_legal_and_stable(who: tuple[str, str, str, str]) -> None:
    """With any IDs, every try of a run gets the same legal name."""
    assert check_name("backup_name", derive_backup_name(*who)) == derive_backup_name(*who)


@given(identity, identity)
def test_derived_names_differ_whenever_anything_differs(
    who: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    """No two tasks or runs share a name."""
    assert (derive_backup_name(*who) == derive_backup_name(*other)) == (who == other)


@pytest.mark.parametrize(
    ("who", "other"),
    [
        (("", "a.b", "c", "r"), ("", "a", "b.c", "r")),
        (("", "a", "b.r", "1"), ("", "a", "b", "r.1")),
        (("", "a", "b", "r:1"), ("", "a", "b", "r+1")),
        (("", "a", "b", "r" * 250 + "1"), ("", "a", "b", "r" * 250 + "2")),
        (("blue", "a", "b", "r"), ("green", "a", "b", "r")),
        (("blue", "a", "b", "r"), ("", "blue.a", "b", "r")),
    ],
)
def test_names_that_read_alike_differ(who: tuple[str, str, str, str], other: tuple[str, str, str, str]) -> None:
    """Where joining, cleaning or cutting makes two ids look the same, the digest tells them apart."""
    assert derive_backup_name(*who) != derive_backup_name(*other)


@given(identity, st.text())
def test_a_task_s_prefix_depends_on_the_task_alone(who: tuple[str, str, str, str], table: str) -> None:
    """All names of the task begin with it, whatever run and table."""
    assert derive_backup_name(*who, table).startswith(derived_prefix(*who[:3]))


@pytest.mark.parametrize(
    ("task", "other"),
    [
        (("", "shop", "backup"), ("", "shop.backup", "backup")),
        (("", "shop", "backup"), ("", "shop", "backup.orders")),
        (("", "магазин", "копия"), ("", "склад--", "копия")),
        (("", "d" * 51, "b"), ("", "d" * 52, "b")),
        (("", "shop", "backup"), ("blue", "shop", "backup")),
        (("", "shop", "back_up"), ("", "shop.back_up.dc16f0b62c", "x")),
        (("", "shop", "back_up"), ("", "shop", "back_up.dc16f0b62c.x")),
        (("", "shop", "back_up"), ("shop", "back_up", "dc16f0b62c")),
        (("", "shop", "back_up"), ("shop", "back_up.dc16f0b62c", "x")),
        (("", "d" * 39, "b"), ("", "d" * 39 + "." + task_digest("", "d" * 39, "b"), "b")),
        (("", "s", "b"), ("s", "b", task_digest("", "s", "b") + "." + "x" * 50)),
    ],
)
def test_a_task_s_prefix_is_no_other_task_s(task: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Where the readable parts are alike, or one begins with the other, the digest tells them apart."""
    assert not derive_backup_name(*other, "r").startswith(derived_prefix(*task))
    assert not derive_backup_name(*task, "r").startswith(derived_prefix(*other))
