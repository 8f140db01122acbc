"""Waits that depend on progress and not on a fixed time, like tests/src/progress.rs for the tests."""

import time
from pathlib import Path

# A standstill is this number of seconds without a change, and at least this number of checks. On a busy machine the
# checks take longer.
STILL, LOOKS = 60, 60
# The longest wait, in seconds. It ends a wait whose state changes without progress.
AT_MOST = 3600


def wait(condition, state, pause, clock=time):
    """Waits for a true result of `condition` and returns it. Returns None at a standstill of `state()`."""
    started = changed = clock.monotonic()
    before, looks = None, 0
    while not (result := condition()):
        now, current = clock.monotonic(), state()
        if current != before:
            before, changed, looks = current, now, 0
        looks += 1
        if (now - changed >= STILL and looks >= LOOKS) or now - started >= AT_MOST:
            return None
        clock.sleep(pause)
    return result


def worked(process):
    """Returns the CPU time of a process in clock ticks, or None if it has ended. It grows while the process works."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12])
