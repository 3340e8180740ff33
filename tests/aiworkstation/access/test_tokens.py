"""Issuing and revoking tokens; `manage.py apitoken`."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

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
    """`ingest` and `run_workflow` have tests of their own."""
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
    assert revoked.changes == {"name": "laptop", "prefix": token.prefix, "owner": "alice"}
    assert text not in str(issued.changes)
