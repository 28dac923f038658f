"""What every example DAG has, since people copy it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import EXAMPLE_DAGS
from tests.dag_bag import examples

NAMES = sorted(path.stem for path in EXAMPLE_DAGS.glob("*.py"))


def code(name: str) -> str:
    """Return an example as people read it."""
    return (EXAMPLE_DAGS / f"{name}.py").read_text()


def of(name: str) -> list[Any]:
    """Return the DAGs of an example."""
    return [dag for dag in examples().values() if Path(dag.fileloc).stem == name]


def is_mapped(task: object) -> bool:
    """Return whether a task is mapped."""
    return hasattr(task, "partial_kwargs")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_what_it_does_and_what_to_change(name: str) -> None:
    """Its docstring is the page of the DAG in Airflow's UI, and a line describes it in the list of all DAGs."""
    for dag in of(name):
        assert "\n\nTo make it yours, change the " in dag.doc_md
        assert dag.doc_md in code(name)
        assert 10 < len(dag.description) < 100


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_an_owner_a_tag_and_retries(name: str) -> None:
    """A failure that passes wakes nobody, and the list of DAGs shows whom to ask."""
    for dag in of(name):
        assert set(dag.tags) == {"example"}
        assert {task.owner for task in dag.tasks} == {"data-platform"}
        assert dag.default_args["retries"] == 3
        assert {task.retries for task in dag.tasks} == {3}


@pytest.mark.parametrize("name", NAMES)
def test_a_mapped_task_is_shown_by_what_it_is_about(name: str) -> None:
    """And not by a number."""
    for dag in of(name):
        for task in dag.tasks:
            assert not is_mapped(task) or "{{ task." in task.map_index_template


@pytest.mark.parametrize("name", NAMES)
def test_a_form_tells_what_to_type(name: str) -> None:
    """Each field has a title, a description and a type; a time is one with its offset, and has no default."""
    for dag in of(name):
        for field in dag.params:
            param = dag.params.get_param(field)
            assert {"title", "type"} <= param.schema.keys(), field
            assert param.description
            is_time = bool(re.search("time|before|moment|since", field))
            assert is_time == (param.schema.get("format") == "date-time"), field
            assert not is_time or (not param.has_value and "+01:00" in param.description), field
            # A run for nothing would be green.
            assert param.schema["type"] != "array" or param.schema["minItems"] > 0, field


@pytest.mark.parametrize("name", NAMES)
def test_an_example_names_no_dag_but_by_its_id(name: str) -> None:
    """Who copies it changes the ID in one place."""
    text = code(name)
    names = re.findall(r'(?<!dag_id=)"(example_\w+)"', text)
    assert names == []
    assert "created_by=" not in text or "created_by=back_up.task_id" in text


@pytest.mark.parametrize("name", NAMES)
def test_an_example_calls_no_boto3(name: str) -> None:
    """The operators and the hook do."""
    assert not re.search(r"boto3|\.conn\b|get_conn", code(name))


@pytest.mark.parametrize("name", ["example_dynamodb_backup_nightly", "example_dynamodb_backup_regions"])
def test_a_mail_that_can_not_be_sent_is_tried_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow retries a task that raises anything but its own failure for good."""
    # Nobody listens on port 1.
    smtp = '{"conn_type": "smtp", "host": "127.0.0.1", "port": 1, "extra": {"disable_ssl": true, "retry_limit": 1}}'
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", smtp)
    dag = examples()[name]
    ti = SimpleNamespace(xcom_pull=lambda **_: None, dag_id=name, log_url="http://localhost")
    context = {"dag": dag, "task": dag.get_task("alert"), "ti": ti, "run_id": "scheduled"}
    with pytest.raises(OSError, match="refused"):
        dag.get_task("alert").python_callable(**context)


def test_every_example_is_read() -> None:
    """A test that finds nothing would pass."""
    assert set(NAMES) <= examples().keys()
    assert sum(is_mapped(task) for dag in examples().values() for task in dag.tasks) > 3
    assert sum(len(dag.params) for dag in examples().values()) > 8


@pytest.mark.parametrize("name", NAMES)
def test_a_mail_escapes_what_it_tells(name: str) -> None:
    """A report's text may hold what a proxy has written, and names are of whoever has chosen them."""
    for html in re.findall(r'html_content="""(.*?)"""', code(name), re.DOTALL):
        assert [text for text in re.findall(r"{{(.*?)}}", html) if not text.strip().endswith("| e")] == []
