"""The supervisor of the application: `manage.py run` becomes this process, which starts, restarts and stops everything.

(`workflows.worker.supervisor` is another one: `manage.py work`, which supervises the processes of the worker.)

1. Join the embedded PostgreSQL, unless DATABASE_URL names another.
2. Run `manage.py prepare`: migrations, static files, and the first user of the embedded database.
3. Start the services, that is the web server and `manage.py work`, each in a process group of its own.
4. Run `manage.py await_ready`, and print that the application is ready.
5. Until SIGTERM or Ctrl-C, restart what ends or hangs, each time after a longer delay: for ever, if it has been ready
   once. Only a service that never was, and keeps ending by itself right after its start, ends the command. A process
   that a signal has ended says nothing about its settings.
6. Stop the services together, then leave PostgreSQL.

It runs as long as the application does, and stays small: it imports neither Django nor the settings.
"""

import argparse
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aiworkstation import BASE_DIR
from aiworkstation.ops import linux, postgres
from aiworkstation.ops.watchdog import STARTS_WITHIN, Watch

ROUND_SECONDS = 0.5
STEADY_SECONDS = 10  # a service that ran so long did not fail at its start
MAX_FAILURES = 5
MAX_DELAY = 10.0
KILL_SECONDS = 5  # more than the grace that the services keep to themselves


class CannotGoOn(Exception):
    """The application cannot run. The message says why."""


class BackOff:
    """When something that ended may start again: after 0.5 s, 1 s, 2 s, … up to MAX_DELAY."""

    def __init__(self) -> None:
        self.failures = 0
        self._not_before = 0.0

    def allows_start(self) -> bool:
        return time.monotonic() >= self._not_before

    def note_failure(self, *, was_steady: bool = False) -> float:
        """Returns the delay in seconds. A process that ran for a while did not fail at its start."""
        self.failures = 1 if was_steady else self.failures + 1
        delay = min(2.0 ** min(self.failures - 2, 10), MAX_DELAY)
        self._not_before = time.monotonic() + delay
        return delay

    def reset(self) -> None:
        self.failures, self._not_before = 0, 0.0


class Service:
    """A process that must always run. Once it has sent a sign of life, it must continue to send them.

    `was_ready` is true if it has been ready once, in this or an earlier process. Then it is restarted for ever.
    """

    def __init__(
        self, name: str, command: Sequence[str], max_failures: float = MAX_FAILURES, *, watch: Watch | None = None
    ) -> None:
        self.name = name
        self._command = command
        self._max_failures = max_failures
        self._watch = watch or Watch()
        self._process: subprocess.Popen[bytes] | None = None
        self.was_ready = False
        self._started_at = 0.0
        self._failed_starts = 0
        self._back_off = BackOff()

    def ensure_running(self) -> None:
        """Starts it if it does not run, or kills it if it hangs. Raises CannotGoOn if it cannot start at all."""
        is_hung = self._watch.is_hung()
        self.was_ready = self.was_ready or self._watch.has_heard
        if self._process and self._has_ended(self._process):
            status = self._kill_group(self._process)
            self._process = None
            self._note_end(f"ended with {status_text(status)}", is_failure=status >= 0)
        elif self._process and is_hung:
            print_now(f"{self.name} hangs and is killed")
            self.kill()
        if self._process is None and self._back_off.allows_start():
            self._start()

    def _start(self) -> None:
        self._watch.restart()
        self._started_at = time.monotonic()
        try:
            self._process = start(self._command, self._watch.environment)
        except OSError as error:  # no memory, or too many processes
            self._note_end(f"could not be started ({error})", is_failure=True)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def wait(self, deadline: float) -> None:
        """Waits for its end, and kills its process group at `deadline`, by the monotonic clock."""
        if self._process is None:
            return
        while not self._has_ended(self._process) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._kill_group(self._process)
        self._process = None

    def _send(self, number: signal.Signals) -> None:
        """Does not use Popen, which would reap a process that has ended."""
        if self._process:
            os.kill(self._process.pid, number)

    def _has_ended(self, process: subprocess.Popen[bytes]) -> bool:
        """Does not reap it, so that no other process group can get its number yet."""
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _kill_group(self, process: subprocess.Popen[bytes]) -> int:
        linux.kill_group(process.pid)
        return process.wait()

    def _note_end(self, how: str, *, is_failure: bool) -> None:
        was_steady = time.monotonic() - self._started_at >= STEADY_SECONDS
        if is_failure:
            self._failed_starts = 1 if was_steady else self._failed_starts + 1
        if not self.was_ready and self._failed_starts >= self._max_failures:
            raise CannotGoOn(f"{self.name} failed {self._failed_starts} times at its start. The last time, it {how}")
        delay = self._back_off.note_failure(was_steady=was_steady)
        print_now(f"{self.name} {how}; it is started again in {delay:g} s")


class ApplicationSupervisor:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._database: postgres.ManagerConnection | None = None
        self._database_back_off = BackOff()
        self._command: subprocess.Popen[bytes] | None = None  # `prepare` or `await_ready`, while it runs
        # Somebody who edits the code will soon repair what they broke.
        patience = float("inf") if options.reload else MAX_FAILURES
        # The web server sends no signs of life.
        watches = {"work": Watch(starts_within=STARTS_WITHIN)}
        self._services = [
            Service(name, command, patience, watch=watches.get(name)) for name, command in commands(options).items()
        ]

    def run(self) -> None:
        try:
            self._join_database()
            self._prepare()
            self._serve()
        finally:
            # The stop is under way: another SIGTERM changes nothing, and a second Ctrl-C kills.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, lambda *_: self._kill())
            self._stop()

    def _prepare(self) -> None:
        back_off = BackOff()
        while True:
            self._command = start(manage_command("prepare"))
            status = self._command.wait()
            self._command = None
            if status == 0:
                return
            if status > 0:
                raise CannotGoOn("the preparation failed")
            delay = back_off.note_failure()
            print_now(f"the preparation ended with {status_text(status)}; it is started again in {delay:g} s")
            time.sleep(delay)

    def _serve(self) -> None:
        self._check_all()
        self._command = start(manage_command("await_ready"))
        for is_changed in rounds(is_watching=self._options.reload):
            if is_changed:
                self._restart()
            self._check_all()
            if self._command and (status := self._command.poll()) is not None:
                # A signal that ended it says nothing about the application.
                self._command = start(manage_command("await_ready")) if status < 0 else None
                if status >= 0:
                    self._announce(status)

    def _announce(self, status: int) -> None:
        if status != 0:
            raise CannotGoOn("the application did not become ready")
        for service in self._services:
            service.was_ready = True
        print_now(f"Ready: {ready_text(self._options)}")

    def _check_all(self) -> None:
        for service in self._services:
            service.ensure_running()
        if self._database and select.select([self._database], [], [], 0)[0] and self._database_back_off.allows_start():
            self._rejoin_database()

    def _rejoin_database(self) -> None:
        """Tries again in a later round if the server does not start: it has been ready once."""
        print_now("PostgreSQL has ended; it is started again")
        try:
            self._join_database()
        except (postgres.PostgresError, OSError) as error:
            delay = self._database_back_off.note_failure()
            print_now(f"{error}\nPostgreSQL is started again in {delay:g} s")
        else:
            self._database_back_off.reset()

    def _join_database(self) -> None:
        if self._options.embedded_in:
            self._database = postgres.join(self._options.embedded_in)

    def _kill(self) -> None:
        for service in self._services:
            service.kill()

    def _restart(self) -> None:
        print_now("The code has changed; the web server and the workers start again")
        self._stop_services()

    def _stop_services(self) -> None:
        for service in self._services:
            service.terminate()
        deadline = time.monotonic() + self._options.stop_grace + KILL_SECONDS
        for service in self._services:
            service.wait(deadline)

    def _stop(self) -> None:
        if self._command:
            self._command.terminate()
        self._stop_services()
        if self._command:
            self._command.wait()
        if self._database:
            self._database.leave()


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """The command lines of the services, by name."""
    web = [sys.executable, "-m", "aiworkstation.gate.server", "aiworkstation.asgi:application"]
    web += ["--host", options.host, "--port", str(options.port)]
    return {"web": web, "work": manage_command("work")}


def manage_command(command: str) -> list[str]:
    return [sys.executable, str(BASE_DIR / "manage.py"), command]


def start(command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a process in a group of its own, which the terminal's Ctrl-C does not reach. It ends with this process.

    `environment` is added to the environment of this process.
    """
    return subprocess.Popen(
        command,
        cwd=BASE_DIR,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=linux.die_with_parent,  # noqa: PLW1509 - one thread
    )


def rounds(*, is_watching: bool) -> Iterator[bool]:
    """Yields twice a second: whether the code has changed. It may end at a signal."""
    while not is_watching:
        time.sleep(ROUND_SECONDS)
        yield False
    from watchfiles import watch  # a requirement of development only

    folders = [path for path in BASE_DIR.iterdir() if (path / "__init__.py").exists()]
    every = int(ROUND_SECONDS * 1000)
    # Without raise_interrupt, because watchfiles treats the exception of any signal as a KeyboardInterrupt.
    for changes in watch(
        *folders, BASE_DIR / "templates", rust_timeout=every, yield_on_timeout=True, raise_interrupt=False
    ):
        yield any(path.endswith((".py", ".html")) for _, path in changes)


def local_url(host: str, port: int) -> str:
    """An address of the web server that works on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def ready_text(options: argparse.Namespace) -> str:
    """Where users find the application, and as whom they can sign in after the first start."""
    local, public = local_url(options.host, options.port), getattr(options, "url", "")
    notes = []
    if public and public.rstrip("/") != local.rstrip("/"):
        notes.append(f"listens on {local}")
    if options.embedded_in:
        notes.append("sign in as demo")
    return (public or local) + (f"  ({'; '.join(notes)})" if notes else "")


def status_text(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def print_now(text: str) -> None:
    print(text, flush=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--stop-grace", type=float, required=True)
    parser.add_argument("--url", help="APP_URL, if it is set")
    parser.add_argument("--embedded-in", type=Path, help="data directory of the embedded PostgreSQL")
    parser.add_argument("--reload", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        ApplicationSupervisor(_parse(arguments)).run()
    except (CannotGoOn, postgres.PostgresError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
