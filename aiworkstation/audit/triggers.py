"""The database triggers of the audit trail."""

import pgtrigger

# PostgreSQL itself refuses to update or delete an audit event, whoever tries.
APPEND_ONLY = pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
