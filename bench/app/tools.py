"""The tool of the benchmark's steps, which only marks their start."""

from bench.start_marks import mark
from workflows.tools import Arguments, StepContext, Tool, register


class Marked(Arguments):
    number: int


@register
class Noop(Tool):
    slug = "BENCH_NOOP"
    description = "Marks its start."
    Arguments = Marked

    async def run(self, context: StepContext, arguments: Marked) -> int:
        step = int(context.step_name)
        mark(arguments.number, step)
        return step
