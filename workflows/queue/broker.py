"""django-q2's ORM broker, on our queues."""

from django_q.brokers.orm import ORM


class Broker(ORM):  # type: ignore[misc]
    """The stock broker."""
