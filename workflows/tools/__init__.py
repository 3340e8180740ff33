"""Tools: what a step can do. A tool is one class in one file of this package, found by its slug.

An app in EXTRA_APPS adds more of them in its `tools.py`. Importing a file registers its tools.
"""

from workflows.tools.base import (
    Arguments,
    NoArguments,
    OutsideAnswer,
    PersonsAnswer,
    Slot,
    StepContext,
    Tool,
    parsed_arguments,
    reason,
    reasons,
)
from workflows.tools.registry import (
    MODEL_STEP,
    all_tools,
    get,
    import_builtin_tools,
    known_slugs,
    missing_here,
    offered_tools,
    register,
    slot_of,
)

__all__ = [
    "MODEL_STEP",
    "Arguments",
    "NoArguments",
    "OutsideAnswer",
    "PersonsAnswer",
    "Slot",
    "StepContext",
    "Tool",
    "all_tools",
    "get",
    "import_builtin_tools",
    "known_slugs",
    "missing_here",
    "offered_tools",
    "parsed_arguments",
    "reason",
    "reasons",
    "register",
    "slot_of",
]
