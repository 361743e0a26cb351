"""settings.py: how the process reads the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from region_operator.settings import MissingDatabaseUrlError, Settings
from region_tick.database_url import DatabaseUrl, DatabaseUrlError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "DATABASE_DIRECT_URL",
        "DATABASE_DIRECT_URL_FILE",
        "DATABASE_SECRET",
        "REGION_REFRESH_INTERVAL_MS",
        "CONCURRENCY",
    ):
        monkeypatch.delenv(name, raising=False)


def test_a_knob_that_is_not_set_says_nothing() -> None:
    assert Settings().bootstrap_spec() == {}


@pytest.mark.parametrize(("milliseconds", "interval"), [("300000", "5m"), ("1500", "1500ms"), ("1000", "1s")])
def test_knobs_become_the_schedulers_fields(monkeypatch: pytest.MonkeyPatch, milliseconds: str, interval: str) -> None:
    monkeypatch.setenv("REGION_REFRESH_INTERVAL_MS", milliseconds)
    monkeypatch.setenv("CONCURRENCY", "8")
    assert Settings().bootstrap_spec() == {"refreshInterval": interval, "concurrency": 8}


@pytest.mark.parametrize(
    ("name", "value"), [("REGION_REFRESH_INTERVAL_MS", "999"), ("CONCURRENCY", "0"), ("CONCURRENCY", "many")]
)
def test_a_value_that_cannot_be_used_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_the_url_is_read_anew_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "DATABASE_URL"
    monkeypatch.setenv("DATABASE_URL_FILE", str(secret))
    settings = Settings()
    with pytest.raises(MissingDatabaseUrlError, match="kubectl create secret generic region-tick-database"):
        settings.read_database_url()
    monkeypatch.setenv("DATABASE_SECRET", "of-another-name")
    with pytest.raises(MissingDatabaseUrlError, match="kubectl create secret generic of-another-name -n"):
        Settings().read_database_url()
    secret.write_text("postgresql://one/\n")
    assert settings.read_database_url() == "postgresql://one/"
    secret.write_text("postgresql://two/")
    assert settings.read_database_url() == "postgresql://two/"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "latin-1"])
def test_a_file_in_another_encoding_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoding: str) -> None:
    secret = tmp_path / "DATABASE_URL"
    monkeypatch.setenv("DATABASE_URL_FILE", str(secret))
    secret.write_bytes("postgresql://u:päss@h/d\n".encode(encoding))
    with pytest.raises(DatabaseUrlError, match="save its file as UTF-8"):
        DatabaseUrl.parse(Settings().read_database_url())


def test_no_url_at_all_says_what_to_set() -> None:
    with pytest.raises(MissingDatabaseUrlError, match="set DATABASE_URL=postgresql://"):
        Settings().read_database_url()


def test_listening_goes_round_the_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://pooler/")
    assert Settings().read_direct_url() == "postgresql://pooler/"
    monkeypatch.setenv("DATABASE_DIRECT_URL", "postgresql://database/")
    assert Settings().read_direct_url() == "postgresql://database/"


def test_the_way_round_the_pooler_is_read_anew_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "DATABASE_DIRECT_URL"
    monkeypatch.setenv("DATABASE_URL", "postgresql://pooler/")
    monkeypatch.setenv("DATABASE_DIRECT_URL_FILE", str(secret))
    settings = Settings()
    assert settings.read_direct_url() == "postgresql://pooler/"  # the Secret has no such key
    secret.write_text("postgresql://database/\n")
    assert settings.read_direct_url() == "postgresql://database/"
    secret.write_text("\n")
    assert settings.read_direct_url() == "postgresql://pooler/"
    monkeypatch.setenv("DATABASE_DIRECT_URL", "postgresql://variable/")
    assert Settings().read_direct_url() == "postgresql://variable/"
    secret.write_text("postgresql://database/")
    assert Settings().read_direct_url() == "postgresql://database/"


def test_a_log_level_is_read_in_any_case_and_no_other_word_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert Settings().log_level == "DEBUG"
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(ValidationError, match="log_level"):
        Settings()


def test_a_url_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@h/")
    assert "hunter2" not in repr(Settings())
