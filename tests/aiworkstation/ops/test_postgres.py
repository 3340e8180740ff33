"""The embedded PostgreSQL: one server for all its clients, started by the first and stopped after the last."""

import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from aiworkstation import BASE_DIR
from aiworkstation.ops import linux, postgres, postgres_manager
from tests.aiworkstation.ops.conftest import processes_of, wait_for

USE = """
import sys
from pathlib import Path
from aiworkstation.ops import postgres
with postgres.join(Path(sys.argv[1])):
    print("joined", flush=True)
    sys.stdin.read()
"""


LEAVES_A_CHILD = """
import multiprocessing, os, time
from pathlib import Path
import psycopg
from aiworkstation.ops import postgres, startup

def child():
    time.sleep(1)
    psycopg.connect(postgres.dsn(Path(os.environ["DATA_DIR"]))).close()
    print("answered")

with startup.prepared(["qcluster"]):
    multiprocessing.get_context("fork").Process(target=child).start()
"""


def another_user(data_dir: Path, preexec: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """A process that uses the server until its standard input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", USE, str(data_dir)],
        cwd=BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=preexec,
    )


def has_joined(user: subprocess.Popen[str]) -> bool:
    assert user.stdout is not None
    return user.stdout.readline() == "joined\n"


def select(data_dir: Path, query: str) -> object:
    with psycopg.connect(postgres.dsn(data_dir), autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def answers(data_dir: Path) -> bool:
    try:
        return select(data_dir, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


def server_pid(data_dir: Path) -> int:
    return int((postgres.home(data_dir) / "data" / "postmaster.pid").read_text().split()[0])


def manager_pid(data_dir: Path) -> int:
    return next(int(p.pid) for p in processes_of(data_dir) if "aiworkstation.ops.postgres_manager" in p.cmdline())


def test_it_works(data_dir: Path) -> None:
    with postgres.join(data_dir):
        assert select(data_dir, "SELECT 1") == 1
    assert processes_of(data_dir) == []


def test_commits_are_durable_and_times_are_utc(data_dir: Path) -> None:
    with postgres.join(data_dir):
        durable = "SELECT string_agg(setting, ',') FROM pg_settings WHERE name IN ('fsync', 'full_page_writes')"
        assert select(data_dir, durable) == "on,on"
        assert select(data_dir, "SHOW synchronous_commit") == "on"
        assert select(data_dir, "SHOW timezone") == "UTC"
        assert select(data_dir, "SELECT upper('é')") == "É"


def test_its_buffers_are_a_share_of_the_memory(data_dir: Path) -> None:
    with postgres.join(data_dir):
        shared = select(data_dir, "SELECT pg_size_bytes(current_setting('shared_buffers')) >> 20")
    assert shared == postgres_manager._buffers_mb(linux.memory_bytes())
    gib = 1 << 30
    assert [postgres_manager._buffers_mb(memory) for memory in (gib // 2, 8 * gib, 512 * gib)] == [128, 1024, 4096]


def test_its_role_reads_no_files_and_has_pgvector(data_dir: Path) -> None:
    with postgres.join(data_dir):
        assert select(data_dir, "SELECT '[1,2]'::vector <-> '[1,3]'") == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            select(data_dir, "SELECT pg_read_file('/etc/hostname')")


def test_nothing_is_open_to_others(data_dir: Path) -> None:
    with postgres.join(data_dir):
        home = postgres.home(data_dir)
        kept = [home, *home.iterdir()]
        assert {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in kept} == {
            path.name: 0 for path in kept
        }


def test_the_last_user_stops_it(data_dir: Path) -> None:
    first = postgres.join(data_dir)
    second = postgres.join(data_dir)
    first.leave()
    assert select(data_dir, "SELECT 1") == 1
    second.leave()
    assert processes_of(data_dir) == []


def test_a_killed_user_has_left(data_dir: Path) -> None:
    user = another_user(data_dir)
    assert has_joined(user)
    user.kill()
    wait_for(lambda: not processes_of(data_dir))
    user.communicate()


def test_a_child_of_a_user_that_left_does_not_keep_it(data_dir: Path) -> None:
    usage = postgres.join(data_dir)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    usage.leave()
    assert processes_of(data_dir) == []
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_two_that_start_at_once_share_one(data_dir: Path) -> None:
    users = [another_user(data_dir) for _ in range(3)]
    assert all(has_joined(user) for user in users)
    assert len([p for p in processes_of(data_dir) if "aiworkstation.ops.postgres_manager" in p.cmdline()]) == 1
    for user in users:
        user.communicate()
    assert processes_of(data_dir) == []


def test_a_killed_server_is_started_again(data_dir: Path) -> None:
    with postgres.join(data_dir):
        os.kill(server_pid(data_dir), signal.SIGKILL)
        wait_for(lambda: not answers(data_dir))
        wait_for(lambda: answers(data_dir))


def test_a_server_that_does_not_start_again_is_tried_until_it_does(tmp_path: Path) -> None:
    """It is killed while it starts, or its disk is full: a server that has been ready once is not given up."""
    with postgres.join(tmp_path):
        configuration = postgres.home(tmp_path) / "data" / "postgresql.conf"
        sound = configuration.read_text()
        configuration.write_text("nonsense = 1\n")
        os.kill(server_pid(tmp_path), signal.SIGKILL)
        log = postgres.home(tmp_path) / postgres.LOG
        wait_for(lambda: log.read_text().count("PostgreSQL did not start") >= 2)
        configuration.write_text(sound)
        wait_for(lambda: answers(tmp_path))


def test_a_killed_manager_takes_the_server_with_it_and_is_noticed(data_dir: Path) -> None:
    usage = postgres.join(data_dir)
    os.kill(manager_pid(data_dir), signal.SIGKILL)
    assert os.read(usage.fileno(), 1) == b""
    wait_for(lambda: not processes_of(data_dir))
    with postgres.join(data_dir):
        assert select(data_dir, "SELECT 1") == 1
    usage.leave()
    assert processes_of(data_dir) == []


def test_what_was_committed_survives_a_kill_of_everything(data_dir: Path) -> None:
    user = another_user(data_dir)
    assert has_joined(user)
    with psycopg.connect(postgres.dsn(data_dir)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    for process in processes_of(data_dir):
        process.kill()
    user.kill()
    user.communicate()
    with postgres.join(data_dir):
        assert select(data_dir, "SELECT n FROM kept") == 7


def test_a_process_of_a_killed_server_is_waited_for(data_dir: Path) -> None:
    """The processes of sessions outlive the main process by a moment, and hold its shared memory."""
    user = another_user(data_dir)
    assert has_joined(user)
    connection = psycopg.connect(postgres.dsn(data_dir))
    session = psutil.Process(connection.info.backend_pid)
    session.suspend()
    for process in processes_of(data_dir):
        if process != session:
            process.kill()
    user.kill()
    user.communicate()
    with ThreadPoolExecutor() as pool:
        joining = pool.submit(postgres.join, data_dir)
        with pytest.raises(TimeoutError):
            joining.result(1)
        session.resume()
        with joining.result(30):
            assert select(data_dir, "SELECT 1") == 1
    connection.close()


def test_it_stays_for_the_processes_that_a_command_leaves_behind(data_dir: Path) -> None:
    """Such as `qcluster`, whose main process has nothing to do."""
    environment = {**os.environ, "DATABASE_URL": "", "DATA_DIR": str(data_dir), "ENV_FILE": ""}
    command = [sys.executable, "-c", LEAVES_A_CHILD]
    done = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "answered\n", done.stderr


def test_a_pid_file_that_names_another_process_is_stale(data_dir: Path) -> None:
    """After a reboot: another process of the same user has the id."""
    with postgres.join(data_dir):
        owner = postgres.home(data_dir).stat().st_uid
    sleeper = subprocess.Popen(["sleep", "60"], preexec_fn=lambda: linux.become(owner, owner) if owner else None)
    pid_file = postgres.home(data_dir) / "data" / "postmaster.pid"
    pid_file.write_text(f"{sleeper.pid}\n{pid_file.parent}\n1\n5432\n\n\n  1  1\nready   \n")
    with postgres.join(data_dir):
        assert select(data_dir, "SELECT 1") == 1
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()


def test_an_interrupted_first_start_is_begun_anew(tmp_path: Path) -> None:
    unfinished = postgres.home(tmp_path) / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18")
    with postgres.join(tmp_path):
        assert select(tmp_path, "SELECT 1") == 1


def test_a_path_too_long_for_a_socket_has_tcp_with_a_password(tmp_path: Path) -> None:
    long = tmp_path / ("long" * 20) / "data dir"
    with postgres.join(long):
        address = postgres.dsn(long)
        assert "@127.0.0.1:" in address
        assert select(long, "SELECT inet_server_addr()::text") == "127.0.0.1/32"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(address, password="guessed")
    with postgres.join(long):
        assert postgres.dsn(long) == address


def test_a_complaint_of_the_server_is_passed_on(tmp_path: Path) -> None:
    (postgres.home(tmp_path) / "data").mkdir(parents=True)
    with pytest.raises(postgres.PostgresError, match="could not access the server configuration file"):
        postgres.join(tmp_path)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
def test_as_root_closed_directories_stay_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with postgres.join(closed / "data"):
        assert select(closed / "data", "SELECT 1") == 1
        assert (postgres.home(closed / "data") / "data").stat().st_uid != 0
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, closed, closed / "data")] == [0o700] * 3


@needs_root
def test_a_plain_user_runs_it_as_himself(tmp_path: Path) -> None:
    plain = pwd.getpwnam("daemon").pw_uid
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", plain, plain)
    user = another_user(tmp_path / "data", lambda: linux.become(plain, plain))
    assert has_joined(user)
    assert {process.uids().effective for process in processes_of(tmp_path / "data")} == {plain}
    user.communicate()


@needs_root
def test_the_directory_of_another_user_is_refused(data_dir: Path) -> None:
    with postgres.join(data_dir):
        pass
    user = another_user(data_dir, lambda: linux.become(65500, 65500))
    assert not has_joined(user)
    user.communicate()
