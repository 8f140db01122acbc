"""Waits that follow progress and not the clock, as tests/src/progress.rs does for the tests."""

import time
from pathlib import Path

# Seconds without a change after which something stands still, and looks that it takes at least: on a busy machine
# they take longer.
STILL, LOOKS = 60, 60
# Seconds; the last resort against a change that leads nowhere.
AT_MOST = 3600


def wait(condition, state, pause, clock=time):
    """Returns what the condition comes to, or None when `state()` has stayed the same for too long."""
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
    """The processor's ticks that a process has taken: it grows while the process does anything."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12])
