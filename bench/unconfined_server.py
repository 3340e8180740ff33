"""The sandbox's fork server, but with children that are not confined: what `sandbox_cost` compares with."""

from workflows.worker.sandbox import server
from workflows.worker.sandbox.confinement import ChildFiles, Confinement


def apply_nothing(confinement: Confinement, files: ChildFiles) -> None:
    """Replaces Landlock, seccomp and the limits of files. Those of memory and time stay."""


if __name__ == "__main__":
    Confinement.apply = apply_nothing  # type: ignore[assignment,method-assign]
    server.main()
