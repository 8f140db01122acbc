"""Starts processes that end together with their session.

Each process of a session has the session's folder in its environment. Processes that it starts inherit the folder: the
emulator, for example, runs each function as a process. At the end of a session, all processes with this folder are
killed. A guard process does this even if the main process is killed. It waits for the end of a pipe that the main
process holds.
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
        """Returns the addresses of the started servers, by name."""
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
        """Starts a server. Returns its process and the path of its log."""
        log = self.logs / f"{name}.log"
        with open(log, "wb") as out:
            # In a new session, so that Ctrl-C in the terminal does not end the server while CMD still uses it.
            process = subprocess.Popen(
                command, env=env | self.marker, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        return process, log

    def call(self, name, command, env):
        """Runs a program to its end. Returns the path of its log if it failed, or else None."""
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
        """Ends the session at the end of the block or of this process, unless the block calls the yielded function."""
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        # This process and the guard hold the lock. If another process can take it, the session has lost both.
        lock = os.open(self.home / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        alive, write_end = os.pipe()
        guard = os.fork()
        if guard == 0:
            self._guard(alive, write_end)
        os.close(alive)
        # Become the parent of orphaned processes. In many containers, init does not collect them when they end.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        try:
            yield lambda: os.write(write_end, b"k")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.close(write_end)
            os.waitpid(guard, 0)
            os.close(lock)
            bury()

    def _guard(self, alive, write_end):
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # Detach from the terminal. A reader of a standard stream would otherwise wait for the end of the guard.
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.close(write_end)
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
        # The addresses in this file are no longer valid.
        (self.logs / "stack.env").unlink(missing_ok=True)
        shutil.rmtree(self.home, ignore_errors=True)


def end_orphans(local):
    """Ends the sessions of `stack.py run` whose main process and guard were both killed."""
    for home in local.glob("run-*"):
        with contextlib.suppress(OSError), open(home / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Session(home, logs=home).end()


def kill_marked(marker):
    ((name, value),) = marker.items()
    entry = os.fsencode(f"{name}={value}")
    # Repeat until no process is left, because a process may start another one in the meantime.
    for _ in range(100):
        pids = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if entry in environment_of(pid)]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def bury():
    """Collects the child processes that have ended. Running ones are meant to stay."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
