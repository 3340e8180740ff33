"""The steps of a workflow as a graph: columns from left to right, each step after those that it depends on."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.display import Step
from workflows.models import WorkflowStep

BOX_WIDTH, BOX_HEIGHT = 184, 44
GAP_X, GAP_Y = 56, 16
MARGIN = 6
MAX_NAME = 20


@dataclass(frozen=True, slots=True)
class Node:
    """The box of a step, in pixels."""

    step: Step
    parents: list[str]
    x: int
    y: int

    @property
    def label(self) -> str:
        name = self.step.name
        return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"

    @property
    def text_x(self) -> int:
        return self.x + 12

    @property
    def width(self) -> int:
        return BOX_WIDTH

    @property
    def height(self) -> int:
        return BOX_HEIGHT


@dataclass(frozen=True, slots=True)
class StepGraph:
    nodes: list[Node]
    edges: list[str]
    """SVG paths."""
    width: int
    height: int


def step_graph(steps: Sequence[Step], rows: Sequence[WorkflowStep]) -> StepGraph | None:
    """None if the steps simply follow one another, or if not all steps are there."""
    parents = {row.index: row.depends_on for row in rows}
    if len(parents) < 2 or all(list(before) == ([index - 1] if index else []) for index, before in parents.items()):
        return None
    if any(parent not in parents for before in parents.values() for parent in before):
        return None
    columns, names = _columns(parents), {step.index: step.name for step in steps}
    rows_used: dict[int, int] = {}
    nodes: dict[int, Node] = {}
    for step in sorted(steps, key=lambda step: (columns[step.index], step.index)):
        column = columns[step.index]
        row = rows_used.get(column, 0)
        rows_used[column] = row + 1
        nodes[step.index] = Node(
            step,
            [names[parent] for parent in parents[step.index]],
            MARGIN + column * (BOX_WIDTH + GAP_X),
            MARGIN + row * (BOX_HEIGHT + GAP_Y),
        )
    edges = [_edge(nodes[parent], nodes[index]) for index, before in parents.items() for parent in before]
    width = 2 * MARGIN + (max(rows_used) + 1) * (BOX_WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + max(rows_used.values()) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    return StepGraph(list(nodes.values()), edges, width, height)


def _columns(parents: dict[int, list[int]]) -> dict[int, int]:
    """A step's column: one more than the furthest of the steps that it depends on. They may come later in the list."""
    columns: dict[int, int] = {}
    while len(columns) < len(parents):
        for index, before in parents.items():
            if index not in columns and all(parent in columns for parent in before):
                columns[index] = 1 + max((columns[parent] for parent in before), default=-1)
    return columns


def _edge(parent: Node, child: Node) -> str:
    x1, y1 = parent.x + BOX_WIDTH, parent.y + BOX_HEIGHT // 2
    x2, y2 = child.x, child.y + BOX_HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"
