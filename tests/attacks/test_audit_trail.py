"""The audit trail: who can write what into it, and what the chain of seals shows."""

import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.utils import DatabaseError
from django.test import Client

from aiworkstation.audit import chain, origin, protection, published_heads
from aiworkstation.audit.chain import Head, Sealer, head, verify
from aiworkstation.audit.models import AuditEvent, AuditSeal
from aiworkstation.audit.record import record
from tests.support.audit import behind_the_guard, connect_as_owner, seal_all
from tests.support.jobs import BODY, claim, complete, start_job
from tests.support.users import client_of
from workflows.database_connections import _parameters


def execute(statement: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.rowcount)


def other_connection() -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(**(_parameters("engine", "test") | {"autocommit": False}))


@pytest.mark.django_db(transaction=True)
class TestColumns:
    def test_nobody_chooses_the_id_or_the_time(self) -> None:
        AuditEvent.objects.create(id=999, at="2001-01-01T00:00:00Z", actor="x", action="a.b", object="c:1")
        execute(
            "INSERT INTO audit_events (id, at, actor, action, object, changes)"
            " OVERRIDING SYSTEM VALUE VALUES (998, '2001-01-01', 'x', 'a.b', 'c:1', '{}')"
        )
        assert not AuditEvent.objects.filter(id__in=(999, 998)).exists()
        assert not AuditEvent.objects.filter(at__year=2001).exists()
        assert AuditEvent.objects.count() == 2

    def test_a_temporary_sequence_changes_nothing(self) -> None:
        execute("CREATE TEMPORARY SEQUENCE audit_events_id_seq START 5000000")
        record("x", "a.b", "c:1")
        assert AuditEvent.objects.get().pk < 5_000_000
        execute("DROP SEQUENCE pg_temp.audit_events_id_seq")

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE {} SET {} = {}",
            "DELETE FROM {}",
            "TRUNCATE {}",
            "SET pgtrigger.ignore = '{{{}:append_only}}'; DELETE FROM {}",
        ],
    )
    @pytest.mark.parametrize(("table", "column"), [("audit_events", "actor"), ("audit_seals", "first_id")])
    def test_it_is_append_only(self, statement: str, table: str, column: str) -> None:
        record("x", "a.b", "c:1")
        seal_all()
        parts = [table, table] if "SET pgtrigger" in statement else [table, column, column]
        with pytest.raises(DatabaseError, match=r"append-only|permission denied"):
            execute(statement.format(*parts))
        with connect_as_owner() as owner, pytest.raises(psycopg.Error, match="append-only"):
            owner.execute(statement.format(*parts).encode())
        assert AuditEvent.objects.exists()
        assert AuditSeal.objects.exists()


@pytest.fixture
def protected() -> Iterator[None]:
    """Skips if the tests have another PostgreSQL, where they may log in with one role only."""
    if not settings.MIGRATION_DATABASE():
        pytest.skip("the tests have one role only")
    yield
    with protection.logged_in_to_migrate():
        assert not protection.protect()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("protected")
class TestTheApplicationsRole:
    """It may insert and read. Everything else needs the tables' owner, which it cannot become."""

    @pytest.mark.parametrize(
        "statement",
        [
            "SET ROLE aiworkstation_audit",
            "SET ROLE aiworkstation_migrator",
            "SET SESSION AUTHORIZATION aiworkstation_audit",
            "GRANT aiworkstation_audit TO CURRENT_USER",
            "ALTER ROLE aiworkstation_migrator PASSWORD 'x'",
            "SET session_replication_role = replica",
            "DROP SCHEMA public CASCADE",
            "ALTER SCHEMA public RENAME TO old",
            "ALTER SCHEMA public OWNER TO CURRENT_USER",
        ],
    )
    def test_it_becomes_no_other(self, statement: str) -> None:
        with pytest.raises(DatabaseError, match=r"permission denied|must be (owner|member)|must be able to"):
            execute(statement)

    @pytest.mark.parametrize("table", ["audit_events", "audit_seals"])
    @pytest.mark.parametrize(
        "statement",
        [
            "ALTER TABLE {} DISABLE TRIGGER USER",
            "ALTER TABLE {} OWNER TO CURRENT_USER",
            "ALTER TABLE {} RENAME TO old",
            "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
            "DROP TABLE {}",
            "DROP TRIGGER append_only ON {}",
            "CREATE TRIGGER mine AFTER INSERT ON {} FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
            "CREATE RULE mine AS ON INSERT TO {} DO INSTEAD NOTHING",
            "CREATE TABLE child () INHERITS ({})",
            "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
            "GRANT ALL ON {} TO CURRENT_USER WITH GRANT OPTION",
            "SELECT * FROM {} FOR UPDATE",
        ],
    )
    def test_it_changes_no_table(self, statement: str, table: str) -> None:
        refused = pytest.raises(DatabaseError, match=r"permission denied|must be owner")
        with refused, transaction.atomic():
            execute(statement.format(table))
            execute(f"DELETE FROM {table}")  # a GRANT of nothing is only a warning

    @pytest.mark.parametrize(
        "statement",
        [
            "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE sql AS $$ SELECT NULL $$",
            "CREATE OR REPLACE FUNCTION audit_event_digest(_event audit_events) RETURNS bytea LANGUAGE sql"
            " AS $$ SELECT NULL $$",
            "DROP FUNCTION audit_stamp() CASCADE",
            "ALTER FUNCTION audit_stamp() OWNER TO CURRENT_USER",
            "ALTER FUNCTION audit_stamp() SET search_path = pg_temp",
            "SELECT setval('audit_events_id_seq', 1)",
            "ALTER SEQUENCE audit_events_id_seq RESTART",
            "DROP SEQUENCE audit_events_id_seq CASCADE",
        ],
    )
    def test_it_changes_no_function_and_no_number(self, statement: str) -> None:
        with pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
            execute(statement)

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO audit_events (id, actor, action, object, changes) SELECT id, 'x', 'a.b', 'c:1', '{}' FROM"
            " audit_events ON CONFLICT (id) DO UPDATE SET actor = 'x'",
            "MERGE INTO audit_events e USING (SELECT 1) o ON true WHEN MATCHED THEN DELETE",
            "WITH gone AS (DELETE FROM audit_events RETURNING id) SELECT id FROM gone",
        ],
    )
    def test_no_insert_hides_a_change(self, statement: str) -> None:
        with pytest.raises(DatabaseError, match="permission denied"):
            execute(statement)

    def test_it_still_owns_its_other_tables(self) -> None:
        execute("ALTER TABLE documents ADD COLUMN mine int")
        execute("ALTER TABLE documents DROP COLUMN mine")
        execute("CREATE TABLE a_partition (); DROP TABLE a_partition")

    def test_a_table_that_lost_its_owner_is_protected_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with connect_as_owner() as owner:
            owner.execute("ALTER TABLE audit_seals OWNER TO aiworkstation")
        assert protection.weakness() == "owns the table audit_seals"
        with monkeypatch.context() as patch:
            patch.setattr(settings, "MIGRATION_DATABASE", dict)
            with pytest.raises(
                CommandError, match=r"owns the table audit_seals.*protect_audit --print.*PostgreSQL says"
            ):
                call_command("protect_audit")
        errors = StringIO()
        call_command("migrate", verbosity=0, stderr=errors)
        assert errors.getvalue() == ""
        assert not protection.weakness()

    @pytest.mark.parametrize(
        ("grant", "weakness"),
        [
            ("GRANT UPDATE (actor), DELETE ON audit_events TO aiworkstation", "may change audit_events"),
            ("GRANT UPDATE (actor) ON audit_events TO aiworkstation", "may change audit_events"),
            ("GRANT TRUNCATE ON audit_seals TO PUBLIC", "may change audit_seals"),
            ("GRANT UPDATE ON SEQUENCE audit_events_id_seq TO aiworkstation", "may change audit_events_id_seq"),
            ("ALTER FUNCTION audit_refuse OWNER TO aiworkstation", "owns the function audit_refuse"),
            ("ALTER SCHEMA public OWNER TO aiworkstation", "owns the schema public"),
        ],
    )
    def test_each_weakness_is_named_and_what_is_printed_ends_it(self, grant: str, weakness: str) -> None:
        with connect_as_owner() as owner:
            owner.execute(grant.encode())
        assert protection.weakness() == weakness
        assert weakness in protection.warning()
        printed = StringIO()
        call_command("protect_audit", "--print", stdout=printed)
        with connect_as_owner() as administrator:
            administrator.execute(printed.getvalue().encode())
            administrator.execute(printed.getvalue().encode())
        assert not protection.weakness()
        record("x", "a.b", "c:1")
        assert seal_all() == 1


@pytest.mark.django_db(transaction=True)
class TestOrigins:
    def test_a_page_a_token_and_the_admin(self, alice: User, charlie: User, client: Client) -> None:
        client_of(alice).post("/api/jobs", BODY, "application/json")
        client.force_login(alice)
        client.post("/api/jobs", BODY, "application/json")
        job = AuditEvent.objects.filter(action="job.queued").order_by("id")
        assert list(job.values_list("actor", "channel", "address")) == [
            ("alice", "token", "127.0.0.1"),
            ("alice", "page", "127.0.0.1"),
        ]
        client.force_login(charlie)
        User.objects.filter(pk=charlie.pk).update(is_superuser=True)
        selected = [str(event.execution_id) for event in job]
        client.post("/admin/workflows/workflowexecution/", {"action": "cancel", "_selected_action": selected})
        cancelled = AuditEvent.objects.filter(action__endswith=".cancelled")
        assert cancelled.count() == 6
        assert set(cancelled.values_list("actor", "channel")) == {("charlie", "admin")}

    def test_a_refusal_and_a_failed_sign_in(self, client: Client, as_bob: Client, alice: User) -> None:
        job = start_job(alice)
        as_bob.get(f"/api/jobs/{job.pk}")
        client.post("/login", {"username": "x", "password": "y"})
        found = AuditEvent.objects.filter(action__in=("request.refused", "user.login_failed")).order_by("id")
        assert list(found.values_list("channel", "address")) == [("token", "127.0.0.1"), ("page", "127.0.0.1")]

    def test_a_worker(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(origin, "_of_process", origin._of_process)
        job = start_job(alice)
        origin.become_worker()
        complete(claim(job.pk)[0])
        steps = AuditEvent.objects.filter(action__startswith="step.")
        assert steps.count() >= 2
        assert {channel for channel, _ in steps.values_list("channel", "address")} == {"worker"}
        assert AuditEvent.objects.get(action="job.queued").channel == "command"

    def test_everything_has_an_actor_an_address_and_a_channel(self, alice: User) -> None:
        start_job(alice)
        record(None, "a.b", "c:1")
        execute("INSERT INTO audit_events (actor, action, object, changes) VALUES ('x', 'a.b', 'c:1', '{}')")
        assert not AuditEvent.objects.filter(address="").exists()
        assert list(AuditEvent.objects.order_by("-id").values_list("channel", flat=True)[:2]) == ["sql", "command"]

    def test_a_name_cannot_bring_its_own_origin(self, alice: User) -> None:
        forged = f"root{origin.SEPARATOR}admin{origin.SEPARATOR}10.0.0.1"
        record(forged, "a.b", "c:1")
        start_job(alice)
        event = AuditEvent.objects.get(action="a.b")
        assert (event.actor, event.channel) == ("root admin 10.0.0.1", "command")

    @pytest.mark.parametrize(
        ("proxies", "header", "address"),
        [
            ("", "6.6.6.6", "127.0.0.1"),
            ("10.0.0.0/8", "6.6.6.6", "127.0.0.1"),
            ("127.0.0.1", "6.6.6.6", "6.6.6.6"),
            ("127.0.0.1", "6.6.6.6, 7.7.7.7", "7.7.7.7"),
            ("127.0.0.1,7.7.7.0/24", "5.5.5.5, 6.6.6.6, 7.7.7.7", "6.6.6.6"),
            ("127.0.0.1", "6.6.6.6, <script>", "127.0.0.1"),
            ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ],
    )
    def test_only_a_trusted_proxy_names_the_client(
        self, proxies: str, header: str, address: str, client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        monkeypatch.setattr(settings.CONFIG, "trusted_proxies", [each for each in proxies.split(",") if each])
        client.post("/login", {"username": "x", "password": "y"}, headers={"x-forwarded-for": header})
        assert AuditEvent.objects.get(action="user.login_failed").address == address


@pytest.mark.django_db(transaction=True)
class TestChain:
    @pytest.fixture(autouse=True)
    def sealed(self, transactional_db: None) -> None:
        """Three seals over events a1 … a9."""
        for number in range(1, 10):
            record("x", f"a.{number}", "c:1", {"text": "ä", "number": number})
            if number % 3 == 0:
                assert seal_all() == 3

    def id_of(self, number: int) -> int:
        return AuditEvent.objects.get(action=f"a.{number}").pk

    def findings(self, *heads: str) -> list[str]:
        output = StringIO()
        arguments = [f"--head={each}" for each in heads]
        code: object = 0
        try:
            call_command("verify_audit", *arguments, stdout=output)
        except SystemExit as end:
            code = end.code
        found = [line[7:] for line in output.getvalue().splitlines() if line.startswith("WRONG  ")]
        assert code == (1 if found else 0)
        return found

    def test_it_works(self) -> None:
        assert self.findings() == []
        output = StringIO()
        call_command("audit_head", stdout=output)
        assert output.getvalue().startswith("3:")
        assert self.findings(output.getvalue()) == []
        record("x", "a.10", "c:1")
        found = verify()
        assert (found.seals, found.sealed, found.unsealed) == (3, 9, 1)
        assert seal_all() == 1
        assert self.findings(output.getvalue()) == []

    @pytest.mark.parametrize(
        "change",
        ["actor = 'y'", "changes = '{}'", "at = at + interval '1 microsecond'", "object = 'd'", "address = ''"],
    )
    def test_a_changed_row(self, change: str) -> None:
        id = self.id_of(5)
        behind_the_guard(f"UPDATE audit_events SET {change} WHERE id = {id}")
        assert self.findings() == [f"event {id}: changed (seal 2)"]

    def test_a_deleted_row(self) -> None:
        id = self.id_of(3)
        behind_the_guard(f"DELETE FROM audit_events WHERE id = {id}")
        assert self.findings() == [f"event {id}: deleted (seal 1)"]

    def test_an_inserted_row(self) -> None:
        with transaction.atomic():
            record("x", "rolled.back", "c:1")
            unused = AuditEvent.objects.get(action="rolled.back").pk
            transaction.set_rollback(True)
        record("x", "a.10", "c:1")
        seal_all()
        behind_the_guard(
            "INSERT INTO audit_events (id, actor, channel, address, action, object, changes)"
            f" VALUES ({unused}, 'y', 'page', '', 'a.b', 'c:1', '{{}}')"
        )
        assert self.findings() == [f"event {unused}: inserted (seal 4)"]

    def test_a_row_before_the_first(self) -> None:
        behind_the_guard(
            "INSERT INTO audit_events (id, actor, channel, address, action, object, changes)"
            " VALUES (-5, 'y', 'page', '', 'a.b', 'c:1', '{}')"
        )
        assert self.findings() == ["event -5: inserted before the chain"]

    def test_a_gap(self) -> None:
        behind_the_guard("DELETE FROM audit_seals WHERE number = 2")
        assert self.findings()[0] == "seals 2 to 2: deleted"

    def test_a_gap_at_the_beginning(self) -> None:
        behind_the_guard("DELETE FROM audit_seals WHERE number = 1")
        assert self.findings()[0] == "seals 1 to 1: deleted"

    def test_a_cut_tail(self) -> None:
        published = str(head())
        behind_the_guard(
            f"DELETE FROM audit_events WHERE id >= {self.id_of(7)}", "DELETE FROM audit_seals WHERE number = 3"
        )
        assert self.findings() == []
        assert self.findings(published) == ["seals 3 to 3: cut off (seal 3 was published)"]

    def test_a_row_and_its_seal_changed_together(self) -> None:
        id = self.id_of(5)
        behind_the_guard(
            f"UPDATE audit_events SET actor = 'y' WHERE id = {id}",
            "UPDATE audit_seals s SET event_digests = ARRAY(SELECT audit_event_digest(e) FROM audit_events e WHERE id ="
            " ANY(s.event_ids) ORDER BY id) WHERE number = 2",
        )
        assert self.findings() == ["seal 2: this seal or the one before was changed"]

    def test_a_rewritten_chain(self) -> None:
        published = str(head())
        id = self.id_of(5)
        behind_the_guard(f"UPDATE audit_events SET actor = 'y' WHERE id = {id}", "DELETE FROM audit_seals")
        assert seal_all() == 9
        assert self.findings() == []
        assert self.findings(published) == ["seals 2 to 3: cut off (seal 3 was published)"]
        first = f"1:{'0' * 64}"
        assert self.findings(first) == ["seal 1: differs from the published head, so the chain was rewritten"]

    def test_a_text_that_is_not_a_head(self) -> None:
        for wrong in ("3", "3:xyz", f"x:{'0' * 64}", f"3:{'0' * 62}"):
            with pytest.raises(ValueError, match=r"."):
                Head.parse(wrong)

    def test_a_transaction_that_commits_late_is_not_skipped(self) -> None:
        """It took its id first, and others have committed since."""
        sealer = Sealer()
        with other_connection() as late:
            late.execute(
                "INSERT INTO audit_events (actor, action, object, changes) VALUES ('x', 'a.late', 'c:1', '{}')"
            )
            record("x", "a.10", "c:1")
            assert [sealer.seal() for _ in range(3)] == [0, 0, 0]
            late.commit()
        assert seal_all() == 2
        assert self.findings() == []

    def test_many_writers_and_two_sealers(self) -> None:
        stop = threading.Event()
        failures: list[BaseException] = []

        def write(number: int) -> None:
            with other_connection() as writer:
                for round in range(60):
                    writer.execute(
                        "INSERT INTO audit_events (actor, action, object, changes) SELECT 'w', 'a.b', 'c:1', '{}'"
                        " FROM generate_series(1, 3)"
                    )
                    writer.execute("SELECT pg_sleep(random() * 0.004)")
                    (writer.rollback if (round + number) % 5 == 0 else writer.commit)()

        def keep_sealing() -> None:
            try:
                sealer = Sealer()
                while not stop.is_set():
                    sealer.seal()
            except BaseException as error:
                failures.append(error)
            finally:
                connection.close()

        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        sealers = [threading.Thread(target=keep_sealing) for _ in range(2)]
        for each in writers + sealers:
            each.start()
        for each in writers:
            each.join()
        stop.set()
        for each in sealers:
            each.join()
        seal_all()
        found = verify()
        assert not failures
        assert found.findings == []
        assert (found.sealed, found.unsealed) == (9 + 3 * 48 * 3, 0)
        assert found.seals > 4

    def test_a_long_gap_of_ids_is_passed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chain, "MAX_IDS", 10)
        execute("SELECT nextval('audit_events_id_seq') FROM generate_series(1, 35)")
        record("x", "a.10", "c:1")
        assert seal_all() == 1
        assert self.findings() == []

    def test_heads_go_to_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "heads"
        assert published_heads.publish_head(str(file))
        assert not published_heads.publish_head(str(file))
        record("x", "a.10", "c:1")
        seal_all()
        assert not published_heads.publish_head(str(file)), "at most one a minute"
        monkeypatch.setattr(published_heads, "PUBLISH_EVERY", published_heads.PUBLISH_EVERY * 0)
        assert published_heads.publish_head(str(file))
        assert not published_heads.publish_head(str(file))
        assert [each.number for each in published_heads.read_heads(file)] == [3, 4]
        call_command("verify_audit", heads=file, stdout=StringIO())
        behind_the_guard("DELETE FROM audit_seals WHERE number = 4")
        with pytest.raises(SystemExit):
            call_command("verify_audit", heads=file, stdout=StringIO())
