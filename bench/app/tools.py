"""What the benchmark's own steps do: next to nothing."""

from bench.marks import mark
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
