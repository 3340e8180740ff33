"""The addresses that a monitoring system reads: `/health/live`, `/health/ready` and `/metrics`.

Everything comes from the database at the time of the request, so all web processes give the same answer. `counters`
keeps what would be costly to count.
"""
