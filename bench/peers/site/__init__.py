"""A Django site with nothing but queues: stock django-q2 and django-tasks-db."""
