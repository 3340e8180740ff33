"""Mails and mailboxes (.eml, .msg, .mbox)."""
