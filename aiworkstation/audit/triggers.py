"""The database triggers of the audit trail."""

import pgtrigger

# PostgreSQL itself refuses every update or deletion of an audit event.
APPEND_ONLY = pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
