from django_tasks import task

from bench.start_marks import mark


def noop(number):
    mark(number)


def do_step(number, step):
    mark(number, step)


@task()
def noop_task(number):
    mark(number)
