"""`make run` as users run it: until it is ready, and to an end that leaves nothing running."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest
from django.contrib.auth.models import User

from aiworkstation import BASE_DIR
from aiworkstation.ops import run
from tests.aiworkstation.ops.conftest import wait_for
from tests.support.processes import database_url
from workflows.models import WorkflowExecution

MANAGE = [sys.executable, str(BASE_DIR / "manage.py")]
# The environment that the tests run in counts as installed.
MAKE = ["make", "--no-print-directory", "-o", ".venv/requirements.stamp", f"BIN={Path(sys.executable).parent}"]
START_SECONDS = 90


class Run:
    """A running application and what it has printed."""

    def __init__(self, command: Sequence[str], data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.output = data_dir.parent / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=BASE_DIR,
                env=environment(data_dir, PORT=str(self.port), **settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def lines(self, beginning: str) -> list[str]:
        return [line for line in self.output.read_text().splitlines() if line.startswith(beginning)]

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.lines("Ready: ") or self.process.poll() is not None, START_SECONDS)
        assert self.lines("Ready: ") == [f"Ready: http://127.0.0.1:{self.port}/  (sign in as demo)"], (
            self.output.read_text()
        )

    def answers(self) -> bool:
        with self.browser() as browser:
            try:
                return browser.get("/admin/login/").status_code == 200
            except httpx2.TransportError:
                return False

    def services(self) -> set[psutil.Process]:
        """The processes `web` and `work`, without their children."""
        found = set()
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if "aiworkstation.gate.server" in child.cmdline() or child.cmdline()[-1:] == ["work"]:
                    found.add(child)
        return found

    def work(self) -> psutil.Process | None:
        """The process of `manage.py work`."""
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if child.cmdline()[-1:] == ["work"]:
                    return child
        return None

    def browser(self) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """The environment of a user who set nothing else, without the settings of the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "ENV_FILE": "", "DATA_DIR": str(data_dir), **settings}


def processes_of(data_dir: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _data_dir(process) == str(data_dir)]


def _data_dir(process: psutil.Process) -> str:
    try:
        return str(process.environ().get("DATA_DIR"))
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Shared by the module, so that only one of its starts is the first."""
    data_dir = tmp_path_factory.mktemp("run") / "data"
    yield data_dir
    for process in processes_of(data_dir):
        process.kill()


def manage(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command, variables = [*MANAGE, *arguments], environment(data_dir, **settings)
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_the_first_start(data_dir: Path) -> None:
    """Slow because a cluster is made, and because a frozen supervisor is given time to show that it lives."""
    application = Run([*MANAGE, "run"], data_dir)
    application.wait_until_ready()
    work = application.work()
    assert work is not None
    work.suspend()
    (told,) = application.lines("User demo, password ")
    with application.browser() as browser:
        browser.get("/admin/login/")
        form = {"username": "demo", "password": told.split()[3]}
        token = {"X-CSRFToken": browser.cookies["csrftoken"]}
        assert browser.post("/admin/login/?next=/admin/", data=form, headers=token).status_code == 302
        page = browser.get("/admin/")
        assert page.status_code == 200
        (style,) = re.findall(r'href="(/static/admin/css/base\.[0-9a-f]{12}\.css)"', page.text)
        assert "immutable" in browser.get(style).headers["Cache-Control"]

    beside = manage(data_dir, "shell", "-c", "from django.contrib.auth.models import User; print(User.objects.get())")
    assert beside.stdout.endswith("demo\n"), beside.stderr
    assert application.answers()

    web = next(p for p in processes_of(data_dir) if "aiworkstation.gate.server" in p.cmdline())
    web.kill()
    wait_for(lambda: "web ended with signal SIGKILL" in application.output.read_text())
    wait_for(application.answers)

    wait_for(lambda: "work hangs and is killed" in application.output.read_text())
    wait_for(lambda: application.work() not in (None, work))

    application.process.terminate()
    assert application.process.wait(60) == 0
    assert processes_of(data_dir) == []


def test_sigterm_to_make_alone_stops_everything(data_dir: Path) -> None:
    application = Run([*MAKE, "run"], data_dir)
    application.wait_until_ready()
    assert application.lines("User demo") == []  # the data of the first start is there
    application.process.terminate()
    application.process.wait(60)
    assert processes_of(data_dir) == []


def test_ctrl_c_in_the_terminal_stops_everything(data_dir: Path) -> None:
    application = Run([*MAKE, "run"], data_dir)
    application.wait_until_ready()
    os.killpg(application.process.pid, signal.SIGINT)
    application.process.wait(60)
    assert processes_of(data_dir) == []
    assert "Traceback" not in application.output.read_text()


def test_changed_code_restarts_web_and_work(data_dir: Path) -> None:
    """`make dev`, without its target, which installs packages and sets DEBUG."""
    application = Run([*MANAGE, "run", "--reload"], data_dir)
    application.wait_until_ready()
    before = application.services()
    Path(__file__).touch()
    wait_for(lambda: len(application.services() - before) == len(before))
    wait_for(application.answers)
    assert not before & application.services()
    application.process.terminate()
    assert application.process.wait(60) == 0
    assert processes_of(data_dir) == []


def test_nothing_outlives_a_killed_run(data_dir: Path) -> None:
    application = Run([*MANAGE, "run"], data_dir)
    application.wait_until_ready()
    application.process.kill()
    application.process.wait()
    wait_for(lambda: not processes_of(data_dir))


@pytest.mark.django_db(transaction=True)
def test_nothing_is_created_in_another_database(tmp_path: Path) -> None:
    """This is so even if a first start with the embedded database was interrupted before."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "first_start").touch()
    settings = {"DATABASE_URL": database_url(), "APP_URL": "http://jobs.example.com", "WORKERS": "1"}
    application = Run([*MANAGE, "run"], data_dir, **settings)
    try:
        wait_for(lambda: application.lines("Ready: ") or application.process.poll() is not None, START_SECONDS)
        local = f"http://127.0.0.1:{application.port}/"
        assert application.lines("Ready: ") == [f"Ready: http://jobs.example.com  (listens on {local})"]
        assert application.lines("There are no users yet. Create one with `manage.py createsuperuser`.")
        assert application.lines("User demo") == []
        assert not User.objects.exists()
        assert not WorkflowExecution.objects.exists()
    finally:
        application.process.terminate()
        application.process.wait(60)


def test_commands_work_without_a_running_application(data_dir: Path) -> None:
    done = manage(data_dir, "migrate", "--check")
    assert done.returncode == 0, done.stderr
    assert processes_of(data_dir) == []


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"PORT": "http"}, "error: PORT: "),
        ({"HOST": "no.such.host.invalid"}, "HOST: "),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "DATABASE_URL: cannot connect"),
        ({"HOST": "192.0.2.1"}, "HOST: cannot listen on 192.0.2.1"),
        ({"DATA_DIR": "/proc/data"}, "DATA_DIR: "),
        ({"EXTRA_APPS": "no_such_app"}, "error: EXTRA_APPS: "),
    ],
)
def test_a_wrong_setting_is_named_before_anything_starts(
    tmp_path: Path, settings: dict[str, str], complaint: str
) -> None:
    refused = manage(tmp_path, "run", **settings)
    assert refused.returncode == 1
    assert complaint in refused.stderr
    assert not (tmp_path / "postgres").exists()


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(run.CannotRun, match=rf"PORT: cannot listen on 127\.0\.0\.1:{port}"):
            run.check_address("127.0.0.1", port)


def test_production_demands_a_secret_key(tmp_path: Path) -> None:
    refused = manage(tmp_path, "check", DATABASE_URL="postgresql://somewhere/jobs")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: SECRET_KEY: set it to 50 or more random characters")


def test_a_weak_key_in_the_data_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("short")
    refused = manage(tmp_path, "check")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: SECRET_KEY: must be 50 or more random characters")
    assert str(tmp_path / "secret_key") in refused.stderr


def test_a_misspelt_name_in_the_env_file_is_warned_about_once(tmp_path: Path) -> None:
    """Variables of the environment may belong to other programs, so no warning names them."""
    file = tmp_path / "env"
    file.write_text("OPENAI_APIKEY=x\n")
    done = manage(tmp_path, "check", ENV_FILE=str(file), DATABSE_URL="x")
    assert done.returncode == 0
    assert done.stderr == f"warning: {file}: OPENAI_APIKEY is not a setting. Did you mean OPENAI_API_KEY?\n"
    assert manage(tmp_path, "check", ENV_FILE=str(file), ENV_FILE_WARNED="1").stderr == ""
