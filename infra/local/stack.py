#!/usr/bin/env python3
"""The stack of this checkout on a local emulator: no account, no Docker, Linux only.

  stack.py up             start it (or bring the running one up to date) and write .local/stack.env
  stack.py down           stop it and remove .local
  stack.py run -- CMD...  a stack of its own for the time of CMD, whose exit code it returns
                          (with the companion stacks of companions.py: tenants, a schedule, a rule)
  stack.py run --enforced -- CMD...  the same with IAM enforced and TLS
  stack.py run --faulty -- CMD...    the same with a fault proxy, FAULTS_URL, before what the functions call

BEDROCK_ENDPOINT_URL in the environment points the functions' Bedrock client elsewhere, MODEL_URL (and
MODEL) to an OpenAI-compatible endpoint; without them a scripted model is started. Further variables
reach the emulator as they are (LOG_LEVEL, ...).
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
from checkout import ENVIRONMENT, LOCAL, STACK, VENV, Failed, relative, say

# Seconds that CMD gets to end by itself after a signal.
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
            case ["run", "--enforced" | "--faulty" as kind, "--", *command] if command:
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
            say(f"left alone: {len(others)} `stack.py run` at work in this checkout")
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
        companions.deploy_companions(env)
        try:
            process = subprocess.Popen(command, env=servers.outside_env() | env | session.marker)
        except OSError as error:
            raise Failed(f"cannot run {command[0]}: {error.strerror}") from None
        try:
            code = process.wait()
        except sessions.Interrupted as interrupted:
            # A Ctrl-C reached CMD too, it is in the terminal's process group; a `kill` of us did not.
            process.send_signal(interrupted.number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            raise
    if code:
        say(f"logs of the stack: {relative(LOCAL / 'last-run')}")
    return code if code >= 0 else 128 - code


def start_stack(session, running, kind=None):
    """Starts what does not run yet, deploys, configures; returns what a client of it needs."""
    deployment.stage_functions()
    emulator, faults = running.get("emulator"), None
    if kind == "--faulty":
        emulator, faults = servers.start_emulator_behind_faults(session)
    elif not emulator:
        emulator = servers.start_emulator(session, enforced=kind == "--enforced")
    elsewhere, model = url_of("BEDROCK_ENDPOINT_URL"), running.get("model")
    bridged, answers = url_of("MODEL_URL"), {}
    if elsewhere and bridged:
        raise Failed("BEDROCK_ENDPOINT_URL and MODEL_URL are both set, and one model can answer")
    if bridged:
        elsewhere, name = servers.start_bridge(session, bridged, os.environ.get("MODEL"))
        answers = {"BRIDGED_MODEL": f"{name} at {bridged}"}
    if not elsewhere and not servers.model_is_healthy(model):
        model = servers.start_model(session, emulator)
    session.remember(emulator=emulator, model=model)

    # A scripted model that runs is kept for the next time, it is only not used.
    aws = servers.emulator_env(session, emulator)
    outputs = deployment.deploy(session, aws, elsewhere or f"{model}/{{region}}")
    stack = {"BCCE_STACK": STACK, "BCCE_ENVIRONMENT": ENVIRONMENT, **outputs, **answers}
    if not elsewhere:
        stack["SCRIPTED_MODEL_URL"] = model
    if faults:
        stack["FAULTS_URL"] = faults
    # The emulator's own; what the functions print is in its CloudWatch Logs.
    stack["LOCAL_LOGS"] = str(session.logs)
    deployment.push_config(session, aws | stack)
    session.write_env({name: value for name, value in (aws | stack).items() if name not in OF_THE_PROCESS})
    return aws | stack


def url_of(variable):
    url = os.environ.get(variable)
    if url and not url.startswith(("http://", "https://")):
        raise Failed(f"{variable} must start with http:// or https://, it is {url}")
    return url


# What keeps our own processes away from the user's ~/.aws; stack.env is for any client.
OF_THE_PROCESS = {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"}


@contextlib.contextmanager
def one_at_a_time():
    """Two `up` or `down` in one checkout wait for each other."""
    LOCAL.mkdir(exist_ok=True)
    # This file, since .local may go away meanwhile.
    with open(__file__) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another `up` or `down` in this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        LOCAL.mkdir(exist_ok=True)
        yield


if __name__ == "__main__":
    # boto3 and the programs started here are the venv's.
    if Path(sys.prefix) != VENV:
        if not (VENV / "bin" / "python").exists():
            sys.exit("error: .venv is missing: run `make setup` first")
        os.execv(VENV / "bin" / "python", [VENV / "bin" / "python", *sys.argv])
    sys.exit(main(sys.argv[1:]))
