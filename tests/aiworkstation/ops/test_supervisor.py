"""Services are restarted, and given up if that does not help."""

import argparse
import os
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from aiworkstation.ops import postgres, supervisor
from aiworkstation.ops.watchdog import STARTS_WITHIN, Watch, notify_alive
from tests.aiworkstation.ops.conftest import wait_for

WAIT = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(autouse=True)
def without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_DELAY", 0.0)


def keep_running(service: supervisor.Service, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        service.ensure_running()
        time.sleep(0.01)


class Output:
    """What the service has printed so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.text = ""

    def wait_for(self, service: supervisor.Service, *, until: str, times: int = 1, seconds: float = 60) -> None:
        """Keeps the service running until it printed this text so many times."""
        deadline = time.monotonic() + seconds
        while self.text.count(until) < times and time.monotonic() < deadline:
            keep_running(service, seconds=0.05)
            self.text += self._capsys.readouterr().out
        service.wait(0)
        assert self.text.count(until) >= times, self.text


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)


def test_a_service_that_ends_at_its_start_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    service = supervisor.Service("web", [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(supervisor.CannotGoOn, match=r"web failed 5 times at its start\. The last time, it ended with"):
        keep_running(service, seconds=60)
    assert capsys.readouterr().out.count("started again") == 4


def test_a_service_that_ran_for_a_while_is_always_restarted(monkeypatch: pytest.MonkeyPatch, output: Output) -> None:
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", 0.0)
    service = supervisor.Service("web", ["false"])
    output.wait_for(service, until="started again", times=supervisor.MAX_FAILURES + 1)


def kill_at_each_start(service: supervisor.Service, times: int) -> None:
    for _ in range(times):
        while service._process is None:
            service.ensure_running()
        service.kill()
        os.waitid(os.P_PID, service._process.pid, os.WEXITED | os.WNOWAIT)
        service.ensure_running()


@pytest.mark.parametrize("name", ["web", "work"])
def test_a_service_that_is_killed_at_each_start_is_always_restarted(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal says nothing about its settings, whether it has been ready before or not."""
    service = supervisor.Service(name, WAIT, watch=Watch(starts_within=60))
    kill_at_each_start(service, times=3 * supervisor.MAX_FAILURES)
    assert capsys.readouterr().out.count("ended with signal SIGKILL; it is started again") == 15
    service.wait(0)


def test_a_service_that_gave_a_sign_of_life_once_is_always_restarted(tmp_path: Path, output: Output) -> None:
    first = tmp_path / "first"
    program = f"""
from pathlib import Path
from aiworkstation.ops.watchdog import notify_alive
if not Path({str(first)!r}).exists():
    Path({str(first)!r}).touch()
    notify_alive()
raise SystemExit(3)"""
    service = supervisor.Service("work", [sys.executable, "-c", program], watch=Watch())
    output.wait_for(service, until="work ended with exit status 3", times=2 * supervisor.MAX_FAILURES)


def test_once_the_application_was_ready_every_service_is_always_restarted(output: Output) -> None:
    options = argparse.Namespace(host="127.0.0.1", port=1, reload=False, embedded_in=None)
    application = supervisor.ApplicationSupervisor(options)
    application._services = [supervisor.Service("web", ["false"])]
    application._announce(0)
    output.wait_for(application._services[0], until="web ended", times=2 * supervisor.MAX_FAILURES)


def test_a_service_for_which_there_is_no_process_is_started_later(output: Output) -> None:
    service = supervisor.Service("web", ["/nowhere/granian"])
    service.was_ready = True
    output.wait_for(service, until="web could not be started ([Errno 2]", times=2 * supervisor.MAX_FAILURES)


def test_the_delay_has_a_limit_however_often_something_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_DELAY", 10.0)
    back_off = supervisor.BackOff()
    delays = [back_off.note_failure() for _ in range(5000)]
    assert delays[:6] == [0.5, 1, 2, 4, 8, 10]
    assert set(delays[6:]) == {10.0}
    assert not back_off.allows_start()
    assert back_off.note_failure(was_steady=True) == 0.5


def test_postgresql_that_has_been_ready_is_started_until_it_is_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(host="127.0.0.1", port=1, reload=False, embedded_in=tmp_path)
    application = supervisor.ApplicationSupervisor(options)
    application._services = []
    application._join_database()
    configuration = postgres.home(tmp_path) / "data" / "postgresql.conf"
    sound = configuration.read_text()
    configuration.write_text("nonsense = 1\n")
    assert application._database
    manager = application._database._manager
    assert manager
    manager.kill()
    manager.wait()
    application._check_all()
    application._check_all()
    assert 'unrecognized configuration parameter "nonsense"' in capsys.readouterr().out
    configuration.write_text(sound)
    application._check_all()
    with psycopg.connect(postgres.dsn(tmp_path)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    application._database.leave()


def test_the_end_finds_a_service_that_has_ended_already() -> None:
    service = supervisor.Service("web", ["true"])
    service.ensure_running()
    time.sleep(0.5)
    service.terminate()
    service.wait(0)


def test_nothing_of_a_killed_service_is_left_when_it_starts_again(tmp_path: Path) -> None:
    pid_file = tmp_path / "grandchild"
    program = f"import subprocess as s; open({str(pid_file)!r}, 'w').write(str(s.Popen(['sleep', '60']).pid))"
    service = supervisor.Service("work", [sys.executable, "-c", f"{program}; import time; time.sleep(60)"])
    service.ensure_running()
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    grandchild = psutil.Process(int(pid_file.read_text()))
    service.kill()
    keep_running(service, seconds=0.1)
    wait_for(lambda: not grandchild.is_running() or grandchild.status() == "zombie")
    service.wait(0)


FREEZE = "import os, signal, time\nfrom aiworkstation.ops.watchdog import notify_alive\n"


def test_a_service_without_signs_of_life_is_restarted(monkeypatch: pytest.MonkeyPatch, output: Output) -> None:
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", 0.0)
    frozen = f"{FREEZE}notify_alive(); os.kill(os.getpid(), signal.SIGSTOP)"
    service = supervisor.Service("work", [sys.executable, "-c", frozen], watch=Watch(silence=0.5))
    output.wait_for(service, until="work ended with signal SIGKILL; it is started again")
    assert output.text.startswith("work hangs and is killed\n")


def test_a_service_that_freezes_before_its_first_sign_of_life_is_restarted(
    monkeypatch: pytest.MonkeyPatch, output: Output
) -> None:
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", 0.0)
    frozen = f"{FREEZE}os.kill(os.getpid(), signal.SIGSTOP)"
    service = supervisor.Service("work", [sys.executable, "-c", frozen], watch=Watch(starts_within=0.5))
    output.wait_for(service, until="work ended with signal SIGKILL; it is started again")
    assert output.text.startswith("work hangs and is killed\n")


def test_the_worker_must_give_a_first_sign_of_life_and_the_web_server_cannot() -> None:
    options = argparse.Namespace(host="127.0.0.1", port=1, reload=False)
    services = supervisor.ApplicationSupervisor(options)._services
    assert {service.name: service._watch.starts_within for service in services} == {"web": None, "work": STARTS_WITHIN}


@pytest.mark.parametrize("signs", ["", "while True: notify_alive(); time.sleep(0.05)"])
def test_a_service_that_never_gave_signs_of_life_or_still_does_is_left_alone(
    signs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program = f"{FREEZE}{signs}\ntime.sleep(60)"
    service = supervisor.Service("web", [sys.executable, "-c", program], watch=Watch(silence=1))
    keep_running(service, seconds=2)
    service.wait(0)
    assert capsys.readouterr().out == ""


def test_a_watcher_that_was_frozen_itself_does_not_judge_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(silence=10)
    monkeypatch.setattr(os, "environ", watch.environment)
    notify_alive()
    assert not watch.is_hung()
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not watch.is_hung()


def test_stopping_waits_for_the_deadline_only() -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    service = supervisor.Service("work", [sys.executable, "-c", stubborn])
    service.ensure_running()
    began = time.monotonic()
    service.terminate()
    service.wait(began + 0.2)
    assert time.monotonic() - began < 50


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:80/"), ("0.0.0.0", "http://127.0.0.1:80/"), ("::", "http://[::1]:80/")],
)
def test_the_address_can_be_opened_here(host: str, address: str) -> None:
    assert supervisor.local_url(host, 80) == address


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--embedded-in", "/data"], "http://127.0.0.1:8000/  (sign in as demo)"),
        ([], "http://127.0.0.1:8000/"),
        (["--url", "https://jobs.example.com"], "https://jobs.example.com  (listens on http://127.0.0.1:8000/)"),
        (["--url", "http://127.0.0.1:8000", "--embedded-in", "/data"], "http://127.0.0.1:8000  (sign in as demo)"),
        (
            ["--url", "https://jobs.example.com", "--embedded-in", "/data"],
            "https://jobs.example.com  (listens on http://127.0.0.1:8000/; sign in as demo)",
        ),
    ],
)
def test_ready_names_the_address_that_users_open(arguments: list[str], text: str) -> None:
    options = supervisor._parse(["--host", "127.0.0.1", "--port", "8000", "--stop-grace", "1", *arguments])
    assert supervisor.ready_text(options) == text
