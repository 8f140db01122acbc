#!/usr/bin/env python3
"""Runs the stack of this checkout on a local emulator, without an account and without Docker. Linux only.

  stack.py up             Start the stack, or update the running one, and write .local/stack.env
  stack.py down           Stop the stack and remove .local
  stack.py run -- CMD...  Start a separate stack, run CMD and return its exit code
                          (with the companion stacks of companions.py: tenants, a schedule, a rule)
  stack.py run --enforced -- CMD...  Do the same with IAM enforced and TLS
  stack.py run --faulty -- CMD...    Do the same with a fault proxy (FAULTS_URL) between functions and services
  stack.py run --released -- CMD...  Do the same with release builds of the functions and the scripted model, and
                                     without the companion stacks
  stack.py run --metered -- CMD...   Do the same with an emulator that counts what AWS charges for (meter.py), and
                                     without the companion stacks
  stack.py run --recorded -- CMD...  Do the same with an emulator that records the events, answers and requests of
                                     functions (recorder.py), and without the companion stacks

By default a scripted model answers. Set BEDROCK_ENDPOINT_URL to call another Bedrock endpoint, or MODEL_URL (and MODEL)
to call an OpenAI-compatible endpoint. Other environment variables, such as LOG_LEVEL, are passed to the emulator.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import companions
import deployment
import servers
import sessions
from checkout import BUILT, ENVIRONMENT, LOCAL, RELEASED, STACK, VENV, Failed, relative, say

KINDS = ("--enforced", "--faulty", "--released", "--metered", "--recorded")
# The time that CMD has to end after a signal, in seconds.
GRACE = 5


def main(arguments):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, sessions.interrupt)
    try:
        match arguments:
            case ["up"]:
                return up()
            case ["down"]:
                return down()
            case ["run", "--", *command] if command:
                return run(command)
            case ["run", kind, "--", *command] if command and kind in KINDS:
                return run(command, kind)
        say(__doc__.strip())
        return 2
    except Failed as failure:
        say(f"error: {failure}")
        return 1
    except sessions.Interrupted as interrupted:
        return 128 + interrupted.number


def up():
    with one_at_a_time():
        session = sessions.Session(LOCAL / "up", logs=LOCAL)
        running = session.running()
        if servers.emulator_is_healthy(running.get("emulator")):
            start_stack(session, running)
        else:
            session.end()
            with session.guarded() as keep:
                start_stack(session, {})
                keep()
    say(f"ready: {relative(LOCAL / 'stack.env')}; `make down` ends it")
    return 0


def down():
    with one_at_a_time():
        sessions.Session(LOCAL / "up", logs=LOCAL).end()
        sessions.end_orphans(LOCAL)
        others = list(LOCAL.glob("run-*"))
        for path in set(LOCAL.iterdir()).difference(others):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if others:
            say(f"not stopped: {len(others)} `stack.py run` in this checkout")
        else:
            LOCAL.rmdir()
    return 0


def run(command, kind=None):
    LOCAL.mkdir(exist_ok=True)
    sessions.end_orphans(LOCAL)
    home = Path(tempfile.mkdtemp(prefix="run-", dir=LOCAL))
    session = sessions.Session(home, logs=home, keep_logs_in=LOCAL / "last-run")
    with session.guarded():
        env = start_stack(session, {}, kind)
        if kind not in ("--released", "--metered", "--recorded"):
            companions.deploy_companions(env)
        try:
            process = subprocess.Popen(command, env=servers.outside_env() | env | session.marker)
        except OSError as error:
            raise Failed(f"cannot run {command[0]}: {error.strerror}") from None
        try:
            code = process.wait()
        except sessions.Interrupted as interrupted:
            # Ctrl-C reaches CMD too, because it is in the terminal's process group. A signal to this process does not.
            process.send_signal(interrupted.number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            raise
    if code:
        say(f"logs of the stack: {relative(LOCAL / 'last-run')}")
    return code if code >= 0 else 128 - code


def start_stack(session, running, kind=None):
    """Starts the servers that are not running, deploys and configures. Returns the environment for clients."""
    built = RELEASED if kind == "--released" else BUILT
    deployment.stage_functions(built)
    emulator, faults = running.get("emulator"), None
    if kind == "--faulty":
        emulator, faults = servers.start_emulator_behind_faults(session)
    elif not emulator:
        kinds = {name.lstrip("-"): kind == name for name in ("--enforced", "--metered", "--recorded")}
        emulator = servers.start_emulator(session, **kinds)
    elsewhere, model = url_of("BEDROCK_ENDPOINT_URL"), running.get("model")
    bridged, answers = url_of("MODEL_URL"), {}
    if elsewhere and bridged:
        raise Failed("BEDROCK_ENDPOINT_URL and MODEL_URL are both set: set only one of them")
    if bridged:
        elsewhere, name = servers.start_bridge(session, bridged, os.environ.get("MODEL"))
        answers = {"BRIDGED_MODEL": f"{name} at {bridged}"}
    if not elsewhere and not servers.model_is_healthy(model):
        model = servers.start_model(session, emulator, built)
    session.remember(emulator=emulator, model=model)

    # A running scripted model keeps running for later, even if it is not used now.
    aws = servers.emulator_env(session, emulator)
    outputs = deployment.deploy(session, aws, elsewhere or f"{model}/{{region}}")
    stack = {"BCCE_STACK": STACK, "BCCE_ENVIRONMENT": ENVIRONMENT, **outputs, **answers}
    if not elsewhere:
        stack["SCRIPTED_MODEL_URL"] = model
    if faults:
        stack["FAULTS_URL"] = faults
    # The logs of the emulator itself. The output of the functions is in its CloudWatch Logs.
    stack["LOCAL_LOGS"] = str(session.logs)
    deployment.push_config(session, aws | stack)
    session.write_env({name: value for name, value in (aws | stack).items() if name not in OF_THE_PROCESS})
    return aws | stack


def url_of(variable):
    url = os.environ.get(variable)
    if url and not url.startswith(("http://", "https://")):
        raise Failed(f"{variable} must start with http:// or https://, but is {url}")
    return url


# Variables that keep the processes started here away from the user's ~/.aws. They are left out of stack.env, which is
# for any client.
OF_THE_PROCESS = {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"}


@contextlib.contextmanager
def one_at_a_time():
    """Makes concurrent `up` and `down` in one checkout wait for each other."""
    LOCAL.mkdir(exist_ok=True)
    # Lock this file, because .local may be removed in the meantime.
    with open(__file__) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another `up` or `down` in this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        LOCAL.mkdir(exist_ok=True)
        yield


if __name__ == "__main__":
    # Use the venv's Python, which has boto3 and the programs that are started here.
    if Path(sys.prefix) != VENV:
        if not (VENV / "bin" / "python").exists():
            sys.exit("error: .venv is missing: run `make setup` first")
        os.execv(VENV / "bin" / "python", [VENV / "bin" / "python", *sys.argv])
    sys.exit(main(sys.argv[1:]))
