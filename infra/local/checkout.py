"""The paths of this checkout, and functions that print progress and errors."""

import contextlib
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
VENV = ROOT / ".venv"
BUILT = ROOT / "target" / "debug"
# The functions and the scripted model as they are measured: optimized, as `make deploy` builds the functions.
RELEASED = ROOT / "target" / "release"

ENVIRONMENT = "dev"
STACK = f"bcce-{ENVIRONMENT}"


class Failed(Exception):
    """An error for the user. Its text says what went wrong and what to do."""


def say(text):
    # stdout is reserved for the command that `stack.py run` executes.
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def phase(name):
    """Prints one line at the end of a phase: its duration and the notes of the block."""
    start, note = time.monotonic(), []
    yield note
    say(f"{name:<9} {time.monotonic() - start:5.1f} s  {' '.join(note)}")


def relative(path):
    return str(path.relative_to(ROOT))


def tail(log, lines=15):
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])
