"""Django's backend for PostgreSQL, for sessions behind pgbouncer too: see `base`."""
