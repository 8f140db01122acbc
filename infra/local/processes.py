"""Reads the CPU time that the processes of a local stack have used, by kind, from /proc."""

import os
import re
from pathlib import Path

from meter import function_name
from sessions import MARKER, environment_of

# The fields of a line `cpu` of /proc/stat in which a core works: user, nice, system, irq, softirq, steal.
BUSY = (0, 1, 2, 5, 6, 7)
TICKS = os.sysconf("SC_CLK_TCK")
EMULATOR, MODEL, OURS, FOREIGN = "emulator", "scripted model", "this program", "foreign"


def spent(before, after):
    """Returns the CPU time between two results of `used` and `busy`, with that of foreign processes."""
    (used_before, busy_before), (used_after, busy_after) = before, after
    seconds = {kind: used_after[kind] - used_before.get(kind, 0) for kind in used_after}
    return seconds | {FOREIGN: max(0, busy_after - busy_before - sum(seconds.values()))}


def busy(stat=None):
    """Returns the CPU time of all processes of this machine. `stat` is the text of /proc/stat."""
    fields = (stat or Path("/proc/stat").read_text()).splitlines()[0].split()[1:]
    return sum(int(fields[at]) for at in BUSY) / TICKS


def used(session):
    """Returns seconds of CPU time by kind of process. A function has its own name, such as `open-item`.

    Functions that have ended are in the time that the emulator collected from its children, as `ended functions`.
    """
    seconds = {}
    for path in Path("/proc").glob("[0-9]*"):
        environment = dict(entry.split(b"=", 1) for entry in environment_of(int(path.name)) if b"=" in entry)
        if environment.get(MARKER.encode()) != session.encode():
            continue
        try:
            command, stat = (path / "cmdline").read_bytes(), (path / "stat").read_text()
        except OSError:
            # The process has ended meanwhile.
            continue
        own, children = times(stat)
        kind = kind_of(int(path.name), command, environment)
        seconds[kind] = seconds.get(kind, 0) + own
        if kind == EMULATOR:
            seconds["ended functions"] = children
    return seconds


def peaks(session):
    """Returns the peak memory of each function that is running, in MB."""
    megabytes = {}
    for path in Path("/proc").glob("[0-9]*"):
        environment = dict(entry.split(b"=", 1) for entry in environment_of(int(path.name)) if b"=" in entry)
        name = environment.get(b"AWS_LAMBDA_FUNCTION_NAME")
        if environment.get(MARKER.encode()) != session.encode() or not name:
            continue
        try:
            peak = peak_of((path / "status").read_text())
        except OSError:
            # The process has ended meanwhile.
            continue
        kind = function_name(name.decode())
        megabytes[kind] = max(megabytes.get(kind, 0), peak)
    return megabytes


def peak_of(status):
    """Returns the peak memory of a process in MB. `status` is the text of /proc/<pid>/status."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 / 1_000_000 if found else 0


def kind_of(pid, command, environment):
    if pid == os.getpid():
        return OURS
    if b"AWS_LAMBDA_FUNCTION_NAME" in environment:
        return function_name(environment[b"AWS_LAMBDA_FUNCTION_NAME"].decode())
    if b"emulator.py" in command:
        return EMULATOR
    return MODEL if re.match(rb"[^\0]*scripted-model\0", command) else "others"


def times(stat):
    """Returns the seconds of a process and of its children that have ended. `stat` is the text of /proc/<pid>/stat."""
    # The name of the program, in parentheses, may contain spaces.
    fields = stat.rpartition(")")[2].split()
    user, system, user_of_children, system_of_children = map(int, fields[11:15])
    return (user + system) / TICKS, (user_of_children + system_of_children) / TICKS


def limit(spent, wall, cores):
    """Returns a sentence about what limited the rate. `spent` is the CPU time by kind, in `wall` seconds."""
    emulator, foreign, all_of_it = (each / wall for each in (spent[EMULATOR], spent[FOREIGN], sum(spent.values())))
    if foreign >= 0.2:
        return f"unknown: processes of other work used {foreign:.2f} cores; measure again without them"
    if emulator >= 0.8:
        return f"the emulator: it used {emulator:.2f} cores, and its threads share one because it is written in Python"
    if all_of_it >= 0.85 * cores:
        return f"the machine: {all_of_it:.2f} of its {cores} cores were used"
    return f"waiting, not CPU time: {all_of_it:.2f} of {cores} cores were used; raise the concurrency or look for a delay"
