"""A PostgreSQL from the system's packages, with its own defaults: unlike the embedded one, it can compile (JIT)."""

import os
import pwd
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from aiworkstation.ops import linux

# Debian's, Red Hat's, and those of PostgreSQL's own packages.
PROGRAMS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/bin")


def programs_with_jit() -> Path:
    """Skips the test if this machine has no PostgreSQL with LLVM and pgvector."""
    for pattern in PROGRAMS:
        for programs in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            if (programs / "pg_config").exists() and (programs / "initdb").exists() and _is_complete(programs):
                return programs
    pytest.skip("no PostgreSQL with JIT and pgvector: apt-get install postgresql-15, and build pgvector for it")


def _is_complete(programs: Path) -> bool:
    folders = {
        name: Path(subprocess.check_output([programs / "pg_config", f"--{name}"], text=True).strip())
        for name in ("pkglibdir", "sharedir")
    }
    extension = folders["sharedir"] / "extension" / "vector.control"
    return (folders["pkglibdir"] / "llvmjit.so").exists() and extension.exists()


@contextmanager
def stock_postgresql(folder: Path, **settings: str) -> Iterator[str]:
    """Yields the address of an empty database with pgvector, which belongs to the role `app`."""
    programs = programs_with_jit()
    owner = pwd.getpwnam("nobody")
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, owner.pw_uid, owner.pw_gid)

    def become_owner() -> None:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() == 0:
            linux.become(owner.pw_uid, owner.pw_gid)

    initdb = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--encoding=UTF8"]
    # Sorts as people do, not by bytes as the embedded server.
    subprocess.run(
        [*initdb, "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=de-DE"],
        check=True,
        capture_output=True,
        preexec_fn=become_owner,
    )
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    server = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", *options],
        preexec_fn=become_owner,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"postgresql:///{{}}?host={quote(str(folder), safe='')}&port=5432&user="
    try:
        _create_database(f"{address}postgres")
        yield f"{address}app".format("app")
    finally:
        server.terminate()
        server.wait(30)


def _create_database(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = psycopg.connect(address.format("postgres"), autocommit=True)
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    with connection:
        connection.execute("CREATE ROLE app LOGIN CREATEDB")
        connection.execute("CREATE DATABASE app OWNER app")
    with psycopg.connect(address.format("app"), autocommit=True) as own:
        own.execute("CREATE EXTENSION vector")
