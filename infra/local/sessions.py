"""Processes that are sure to be gone when their session is.

Everything a session starts carries the session's folder in its environment, and so does everything
that starts in turn (the emulator runs each function as a process). Ending a session kills what
carries it. A guard process does that, however we end: it waits for the end of a pipe we hold.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

MARKER = "BCCE_LOCAL_SESSION"
# <linux/prctl.h>
PR_SET_CHILD_SUBREAPER = 36


class Interrupted(BaseException):
    def __init__(self, number):
        super().__init__(number)
        self.number = number


def interrupt(number, _frame):
    raise Interrupted(number)


class Session:
    def __init__(self, home, logs, keep_logs_in=None):
        self.home = Path(home)
        self.logs = Path(logs)
        self.keep_logs_in = keep_logs_in
        self.marker = {MARKER: str(self.home)}

    def running(self):
        """Addresses of what was started, by name."""
        try:
            return json.loads((self.home / "running.json").read_text())
        except FileNotFoundError:
            return {}

    def remember(self, **addresses):
        (self.home / "running.json").write_text(json.dumps(addresses))

    def write_env(self, env):
        lines = "".join(f"{name}={value}\n" for name, value in env.items())
        (self.logs / "stack.env").write_text(lines)

    def start(self, name, command, env):
        """Starts a program that stays; returns it and its log."""
        log = self.logs / f"{name}.log"
        with open(log, "wb") as out:
            # A session of its own: the terminal's Ctrl-C must not take it away from under CMD.
            process = subprocess.Popen(
                command, env=env | self.marker, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        return process, log

    def call(self, name, command, env):
        """Runs a program to its end; returns its log if it failed."""
        log = self.logs / f"{name}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(command, env=env | self.marker, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            try:
                return log if process.wait() else None
            except BaseException:
                process.kill()
                raise

    @contextlib.contextmanager
    def guarded(self):
        """Ends the session with the block, or with this process; unless the block calls what it gets."""
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        # Held by us and the guard: who can take it knows that nobody looks after this session.
        lock = os.open(self.home / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        alive, ours = os.pipe()
        guard = os.fork()
        if guard == 0:
            self._guard(alive, ours)
        os.close(alive)
        # The dead come to us and not to an init that may not bury them, as in many containers.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        try:
            yield lambda: os.write(ours, b"k")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.close(ours)
            os.waitpid(guard, 0)
            os.close(lock)
            bury()

    def _guard(self, alive, ours):
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # Not the terminal's, nor the end of a pipe that somebody reads to its end.
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.close(ours)
        try:
            if os.read(alive, 1) != b"k":
                self.end()
        finally:
            os._exit(0)

    def end(self):
        kill_marked(self.marker)
        if self.keep_logs_in and self.logs.exists():
            self.keep_logs_in.mkdir(exist_ok=True)
            for log in self.logs.glob("*.log"):
                log.replace(self.keep_logs_in / log.name)
        # Its addresses lead nowhere any more.
        (self.logs / "stack.env").unlink(missing_ok=True)
        shutil.rmtree(self.home, ignore_errors=True)


def end_orphans(local):
    """Ends the runs nobody looks after: their guard was killed too."""
    for home in local.glob("run-*"):
        with contextlib.suppress(OSError), open(home / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Session(home, logs=home).end()


def kill_marked(marker):
    ((name, value),) = marker.items()
    entry = os.fsencode(f"{name}={value}")
    # Again until there is none: one may have started another meanwhile.
    for _ in range(100):
        pids = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if entry in environment_of(pid)]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def bury():
    """Collects our dead children; what still runs is meant to stay."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
