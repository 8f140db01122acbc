"""Where things lie in this checkout, and how to print progress and errors at the terminal."""

import contextlib
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
VENV = ROOT / ".venv"
BUILT = ROOT / "target" / "debug"

ENVIRONMENT = "dev"
STACK = f"bcce-{ENVIRONMENT}"


class Failed(Exception):
    """What went wrong and what to do."""


def say(text):
    # stdout belongs to the command that a stack is run for.
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def phase(name):
    """One line per phase, with what the block has noted."""
    start, note = time.monotonic(), []
    yield note
    say(f"{name:<9} {time.monotonic() - start:5.1f} s  {' '.join(note)}")


def relative(path):
    return str(path.relative_to(ROOT))


def tail(log, lines=15):
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])
