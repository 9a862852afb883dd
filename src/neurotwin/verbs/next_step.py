"""What can be done next, told on stderr at the end of a verb."""

import sys


def tell_next(command: str) -> None:
    """Print the command."""
    print(f"next: {command}", file=sys.stderr)
