"""Guessing passwords, sessions left open, and users who are deactivated."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from aiworkstation.access.models import ApiToken, SignInAttempts
from aiworkstation.audit.models import AuditEvent
from tests.support.jobs import claim, start_job
from tests.support.users import client_of
from workflows.worker.step_executor import StepExecutor

RIGHT = "a-long-passphrase-7"


@pytest.fixture
def alice(alice: User) -> User:
    User.objects.filter(pk=alice.pk).update(password=make_password(RIGHT))
    alice.refresh_from_db()
    return alice


@pytest.fixture
def limits(settings: Any) -> Any:
    settings.CONFIG = settings.CONFIG.model_copy(update={"sign_in_attempts": 3})
    return settings.CONFIG


def sign_in(client: Client, name: str, password: str, **headers: str) -> Any:
    return client.post("/login", {"username": name, "password": password}, headers=headers)


def is_signed_in(client: Client) -> bool:
    return client.get("/settings/tokens").status_code == 200


class TestLimits:
    def test_a_name_is_locked_before_hashing(
        self, client: Client, alice: User, limits: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(3):
            assert b"Too many" not in sign_in(client, "alice", "wrong").content
        monkeypatch.setattr(hashers, "verify_password", None)
        page = sign_in(client, "alice", RIGHT)
        assert b"Too many failed attempts. Try again in 15 minutes" in page.content
        assert not is_signed_in(client)
        assert AuditEvent.objects.get(action="user.sign_in_locked").object == "user:alice"

    def test_an_unknown_name_looks_the_same(self, client: Client, alice: User, limits: Any) -> None:
        pages = []
        for name in ("alice", "nobody"):
            pages.append([sign_in(client, name, "wrong").content.count(b"Too many") for _ in range(5)])
        assert pages[0] == pages[1] == [0, 0, 0, 1, 1]

    def test_an_address_is_locked_for_all_names(self, client: Client, alice: User, limits: Any) -> None:
        for number in range(15):
            sign_in(client, f"user{number}", "wrong")
        assert b"Too many" in sign_in(client, "alice", RIGHT).content
        call_command("unlock", address="127.0.0.1", stdout=StringIO())
        assert sign_in(client, "alice", RIGHT).status_code == 302

    def test_an_invented_address_does_not_help(self, client: Client, alice: User, limits: Any) -> None:
        for number in range(15):
            sign_in(client, f"user{number}", "wrong", x_forwarded_for=f"10.0.0.{number}")
        assert b"Too many" in sign_in(client, "alice", RIGHT, x_forwarded_for="10.9.9.9").content

    def test_the_admin_has_the_same_limits(self, client: Client, alice: User, limits: Any) -> None:
        User.objects.filter(pk=alice.pk).update(is_staff=True)
        form = {"username": "alice", "password": "wrong"}
        for _ in range(3):
            client.post("/admin/login/", form)
        page = client.post("/admin/login/?next=/admin/", {"username": "alice", "password": RIGHT})
        assert b"Too many failed attempts" in page.content

    def test_other_spellings_of_the_name_count_apart_and_do_not_sign_in(
        self, client: Client, alice: User, limits: Any
    ) -> None:
        for name in ("Alice", "ALICE", "alice ", "ａlice"):
            assert sign_in(client, name, "wrong").status_code == 200
        assert SignInAttempts.objects.get(key="user:alice").attempts >= 1

    def test_success_gives_the_attempts_back(self, client: Client, alice: User, limits: Any) -> None:
        for _ in range(4):
            for _ in range(2):
                sign_in(client, "alice", "wrong")
            assert sign_in(client, "alice", RIGHT).status_code == 302
            client.logout()

    def test_an_address_is_charged_for_failures_only(self, client: Client, alice: User, limits: Any) -> None:
        """Many users may sign in behind one router. A success gives back no guesses at other names."""
        for _ in range(20):
            assert sign_in(client, "alice", RIGHT).status_code == 302
            client.logout()
        for number in range(15):
            sign_in(client, f"user{number}", "wrong")
            if number < 14:
                assert sign_in(client, "alice", RIGHT).status_code == 302
                client.logout()
        assert b"Too many" in sign_in(client, "alice", RIGHT).content

    def test_time_gives_them_back_and_guessing_does_not_delay_it(
        self, client: Client, alice: User, limits: Any
    ) -> None:
        for _ in range(4):
            sign_in(client, "alice", "wrong")
        until = SignInAttempts.objects.get(key="user:alice").until
        sign_in(client, "alice", "wrong")
        assert SignInAttempts.objects.get(key="user:alice").until == until
        with connection.cursor() as cursor:
            cursor.execute("UPDATE sign_in_attempts SET until = now() - interval '1 second'")
        assert sign_in(client, "alice", RIGHT).status_code == 302

    def test_staff_give_them_back(self, client: Client, alice: User, at_charlie: Client, limits: Any) -> None:
        for _ in range(4):
            sign_in(client, "alice", "wrong")
        User.objects.filter(username="charlie").update(is_superuser=True)
        at_charlie.post("/admin/auth/user/", {"action": "unlock", "_selected_action": [alice.pk]})
        assert sign_in(client, "alice", RIGHT).status_code == 302
        assert AuditEvent.objects.get(action="user.sign_in_unlocked").actor == "charlie"

    @pytest.mark.django_db(transaction=True)
    def test_attempts_at_the_same_time_count(self, limits: Any, alice: User) -> None:
        def guess(_: int) -> bool:
            try:
                return b"Too many" in sign_in(Client(), "alice", "wrong").content
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            locked = list(pool.map(guess, range(16)))
        assert locked.count(False) <= 3

    @pytest.mark.parametrize("name", ["a" * 5000, "al\0ice", "'; DROP TABLE x; --"])
    def test_odd_names_are_refused_without_an_error(self, client: Client, db: None, limits: Any, name: str) -> None:
        assert sign_in(client, name, "x").status_code == 200


class TestPassword:
    FORM = {"old_password": RIGHT, "new_password1": "another-passphrase-8", "new_password2": "another-passphrase-8"}

    def test_a_change_ends_other_sessions(self, client: Client, alice: User) -> None:
        other = Client()
        other.force_login(alice)
        client.force_login(alice)
        token = client_of(alice)
        assert client.get("/settings/password").status_code == 200
        assert client.post("/settings/password", self.FORM).status_code == 302
        assert is_signed_in(client)
        assert not is_signed_in(other)
        assert token.get("/api/jobs").status_code == 200
        assert AuditEvent.objects.get(action="user.password_changed").actor == "alice"
        assert "passphrase" not in str(list(AuditEvent.objects.values()))

    def test_and_api_tokens_if_wanted(self, client: Client, alice: User, bob: User) -> None:
        client.force_login(alice)
        token, of_bob = client_of(alice), client_of(bob)
        client.post("/settings/password", {**self.FORM, "revoke_tokens": "on"})
        assert token.get("/api/jobs").status_code == 401
        assert of_bob.get("/api/jobs").status_code == 200
        assert not ApiToken.objects.filter(owner=alice).exists()

    @pytest.mark.parametrize("new", ["short", "password123", "1234567890123", "qwertyuiop"])
    def test_bad_passwords_are_refused(self, client: Client, alice: User, new: str) -> None:
        client.force_login(alice)
        page = client.post("/settings/password", {**self.FORM, "new_password1": new, "new_password2": new})
        assert page.status_code == 400
        assert b'role="alert"' in page.content

    def test_the_old_one_cannot_be_guessed_there(self, client: Client, alice: User, limits: Any) -> None:
        client.force_login(alice)
        for _ in range(3):
            client.post("/settings/password", {**self.FORM, "old_password": "wrong"})
        page = client.post("/settings/password", self.FORM)
        assert b"Too many failed attempts" in page.content
        alice.refresh_from_db()
        assert alice.check_password(RIGHT)

    def test_strangers_are_sent_to_sign_in(self, client: Client, db: None) -> None:
        assert client.get("/settings/password").status_code == 302


class TestIdleSessions:
    def test_an_unused_session_ends(self, client: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        client.force_login(alice)
        assert is_signed_in(client)
        later = time.time() + 481 * 60
        monkeypatch.setattr("aiworkstation.access.idle_sessions.time.time", lambda: later)
        assert not is_signed_in(client)
        assert client.get("/api/jobs").status_code == 401

    def test_use_keeps_it_and_an_open_page_does_not(
        self, client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [time.time()]
        monkeypatch.setattr("aiworkstation.access.idle_sessions.time.time", lambda: now[0])
        client.force_login(alice)
        for _ in range(3):
            assert is_signed_in(client)
            now[0] += 300 * 60
        assert is_signed_in(client)
        for _ in range(3):
            client.get("/jobs/?seen=abc")
            now[0] += 200 * 60
        assert not is_signed_in(client)

    def test_a_token_has_no_session(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        api = client_of(alice)
        later = time.time() + 10_000 * 60
        monkeypatch.setattr("aiworkstation.access.idle_sessions.time.time", lambda: later)
        assert api.get("/api/jobs").status_code == 200


@pytest.mark.django_db(transaction=True)
class TestDeactivated:
    @pytest.mark.parametrize("is_active", [True, False])
    def test_steps_of_a_deactivated_user_are_not_run(self, alice: User, is_active: bool) -> None:
        job = start_job(alice)
        User.objects.filter(pk=alice.pk).update(is_active=is_active)
        (held,) = claim(job.pk)

        async def execute() -> Any:
            executor = StepExecutor(threads=1)
            try:
                return await executor.execute(held, lambda *report: None)
            finally:
                await executor.close()

        outcome = asyncio.run(execute())
        code = json.loads(outcome.error)["code"] if outcome.error else None
        assert (outcome.status == "completed") == is_active
        assert code == (None if is_active else "owner_inactive")

    def test_nor_do_their_tokens_and_sessions_work(self, alice: User, client: Client) -> None:
        client.force_login(alice)
        api = client_of(alice)
        User.objects.filter(pk=alice.pk).update(is_active=False)
        assert api.get("/api/jobs").status_code == 401
        assert not is_signed_in(client)
        assert sign_in(Client(), "alice", RIGHT).status_code == 200
