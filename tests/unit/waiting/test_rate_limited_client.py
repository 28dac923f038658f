"""How the asynchronous client is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.config import Config

from airflow_ddb_backup.waiting import rate_limited_client

if TYPE_CHECKING:
    import pytest


def test_reading_ahead_only_saves_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A botocore that keeps its models elsewhere fails no wait."""

    class Loader:
        """Finds nothing."""

        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            raise FileNotFoundError(name)

    asked: list[str] = []
    monkeypatch.setattr(rate_limited_client, "_LOADER", Loader())
    rate_limited_client._warm_up("us-east-1", Config())  # noqa: SLF001  # its failure is the case
    assert asked
