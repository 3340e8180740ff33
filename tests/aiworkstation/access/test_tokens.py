"""Issuing and revoking tokens; `manage.py apitoken`."""

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from aiworkstation.access import api_tokens
from aiworkstation.access.models import ApiToken
from aiworkstation.audit.models import AuditEvent


def test_it_works(alice: User) -> None:
    out = StringIO()
    call_command("apitoken", "alice", "--name", "script", stdout=out)
    text = out.getvalue()
    assert text.endswith("\n")
    client = Client(headers={"authorization": f"Bearer {text.strip()}"})
    assert client.get("/api/jobs").status_code == 200
    assert ApiToken.objects.get().name == "script"


@pytest.mark.parametrize("command", [["unlock"], ["unlock", "alice", "--address", "10.0.0.1"]])
def test_bad_input_has_the_exit_code_2(db: None, command: list[str]) -> None:
    with pytest.raises(CommandError) as raised:
        call_command(*command)
    assert raised.value.returncode == 2


@pytest.mark.parametrize("command", [["apitoken", "nobody"], ["submit_samples", "--user", "nobody"]])
def test_an_unknown_user(db: None, command: list[str]) -> None:
    """`ingest` and `run_workflow` have their own tests."""
    with pytest.raises(CommandError, match="no user 'nobody'") as raised:
        call_command(*command)
    assert raised.value.returncode == 2


@pytest.mark.parametrize("name", ["", " ", "x" * 101])
def test_a_wrong_name_is_refused(alice: User, name: str) -> None:
    with pytest.raises(CommandError, match="--name: "):
        call_command("apitoken", "alice", "--name", name)
    assert not ApiToken.objects.exists()


def test_issue_and_revoke_are_recorded(alice: User, charlie: User) -> None:
    token, text = api_tokens.issue(alice, "laptop")
    api_tokens.revoke(charlie, token)
    assert ApiToken.find(text) is None
    issued, revoked = AuditEvent.objects.order_by("pk")
    assert (issued.actor, issued.action) == ("alice", "token.issued")
    assert (revoked.actor, revoked.action) == ("charlie", "token.revoked")
    assert issued.object == revoked.object
    assert issued.changes["scopes"] == ["read", "run", "documents"]
    assert revoked.changes == {"name": "laptop", "prefix": token.prefix, "owner": "alice"}
    assert text not in str(issued.changes)


def test_scopes_and_expiry_of_the_command(alice: User) -> None:
    call_command("apitoken", "alice", "--scopes", "run,read", "--days", "7", stdout=StringIO())
    token = ApiToken.objects.get()
    assert token.scopes == ["read", "run"]
    assert token.expires_at is not None
    assert abs(token.expires_at - timezone.now() - timedelta(days=7)) < timedelta(minutes=1)


@pytest.mark.parametrize(("scopes", "wrong"), [("read,write", "write"), ("", ""), ("admin", "admin")])
def test_wrong_scopes_of_the_command(alice: User, scopes: str, wrong: str) -> None:
    """Only staff can give the scope `admin`."""
    with pytest.raises(CommandError, match=f"--scopes: alice can give read, run, documents, not '{wrong}'") as raised:
        call_command("apitoken", "alice", "--scopes", scopes)
    assert raised.value.returncode == 2
    assert not ApiToken.objects.exists()


def test_the_command_gives_staff_every_scope(charlie: User) -> None:
    call_command("apitoken", "charlie", stdout=StringIO())
    assert ApiToken.objects.get().scopes == ["read", "run", "documents", "admin"]


@pytest.mark.parametrize("scopes", [[], ["admin"], ["read", "write"]])
def test_a_token_is_not_issued_with_wrong_scopes(alice: User, scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="cannot give"):
        api_tokens.issue(alice, scopes=scopes)
    assert not AuditEvent.objects.exists()
