"""The benchmark on the PostgreSQL of DATABASE_URL."""

import pytest

from bench import contenders, run_environment


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("postgresql://app:x@db:25599/app", "postgresql://app:x@db:25599/bench"),
        ("postgresql://app@db", "postgresql://app@db/bench"),
        ("postgresql:///app?host=/tmp/x&user=app", "postgresql:///bench?host=/tmp/x&user=app"),
        ("", f"postgresql://aiworkstation:@/bench?host={str(run_environment.SOCKETS).replace('/', '%2F')}&port=5432"),
    ],
)
def test_databases_are_made_there(monkeypatch: pytest.MonkeyPatch, server: str, url: str) -> None:
    monkeypatch.setattr(run_environment, "SERVER", server)
    assert run_environment.database_url("bench") == url
    assert run_environment.child_environment()["BENCH_SERVER"] == server


def test_only_the_application_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "SERVER", "")
    assert len(contenders.contenders_for("pickup")) > 2
    monkeypatch.setattr(contenders, "SERVER", "postgresql://app@db/app")
    assert [each.name for each in contenders.contenders_for("pickup")] == [contenders.OURS, contenders.PLAIN]
