"""Bounds `invoke` by default: asks the account for Lambda's pool and gives a deployment a value that fits.

`concurrency.py <section of samconfig.toml> [--parameters "Name=value ..."] -- <sam deploy ...>` runs the command with
`--parameter-overrides`: those of the section, those given here, and InvokeReservedConcurrency unless one of the two has
it. sam takes what stands on the command line in the place of the section's, so that all are given.
"""

import argparse
import os
import pathlib
import shlex
import sys
import tomllib
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARAMETER = "InvokeReservedConcurrency"
# Lambda refuses a reservation that leaves fewer of the account's pool to the functions that reserve nothing.
LEAST_UNRESERVED = 100
# A wave runs so many steps side by side. A bound below that would slow a single run.
LEAST_USEFUL = 20


@dataclass(frozen=True)
class Pool:
    """Concurrent executions of an account in a region."""

    total: int
    unreserved: int
    # What the stack's own functions have reserved by now.
    invoke: int = 0
    webhook: int = 0


def reservation(pool, webhook=0):
    """The value for the parameter, and why. `webhook` is what the deployment reserves for that function."""
    available = pool.unreserved + pool.invoke + pool.webhook - webhook
    rest = max(LEAST_UNRESERVED, pool.total // 2)
    value = available - rest
    if value < LEAST_USEFUL:
        return 0, (
            f"invoke has no bound: of the account's pool of {pool.total} concurrent executions {available} are not "
            f"reserved, and {rest} stay unreserved. docs/deployment.md says how to ask for a larger pool"
        )
    return value, f"{rest} of the account's pool of {pool.total} concurrent executions stay unreserved"


def parsed(overrides):
    """`Name=value ...` of samconfig.toml or a command line, by name; a later one counts."""
    words = shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
    return dict(word.split("=", 1) for word in words)


def overrides(section, given, ask):
    """What is given to sam, and what there is to say. `ask` returns the pool, or why it cannot be read as text."""
    values = parsed(section.get("parameter_overrides", "")) | parsed(given)
    if PARAMETER in values:
        return values, f"{PARAMETER}={values[PARAMETER]}, as it is set"
    pool = ask()
    if isinstance(pool, str):
        return values, f"{PARAMETER} keeps its value: Lambda's pool cannot be read ({pool})"
    value, because = reservation(pool, int(values.get("WebhookReservedConcurrency", pool.webhook)))
    return values | {PARAMETER: str(value)}, f"{PARAMETER}={value}: {because}"


def ask_account(section):
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        session = boto3.Session(profile_name=section.get("profile"), region_name=section.get("region"))
        client = session.client("lambda")
        limits = client.get_account_settings()["AccountLimit"]

        def reserved(function):
            try:
                got = client.get_function_concurrency(FunctionName=f"{section['stack_name']}-{function}")
            except client.exceptions.ResourceNotFoundException:
                return 0
            return got.get("ReservedConcurrentExecutions", 0)

        total, unreserved = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
        return Pool(total, unreserved, reserved("invoke"), reserved("webhook"))
    except (BotoCoreError, ClientError) as error:
        return str(error)


def main(arguments):
    at = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("section", help="section of samconfig.toml")
    parser.add_argument("--parameters", default="", help='further parameters of the template, "Name=value ..."')
    args, command = parser.parse_args(arguments[:at]), arguments[at + 1 :]
    if not command:
        parser.error("no command: give it after --")
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    section = config.get(args.section, {}).get("deploy", {}).get("parameters")
    if section is None:
        sys.exit(f"error: samconfig.toml has no [{args.section}.deploy.parameters]")
    values, said = overrides(section, args.parameters, lambda: ask_account(section))
    print(f"note: {said}", file=sys.stderr)
    words = [f"{name}={value}" if value else f'{name}=""' for name, value in values.items()]
    command += ["--parameter-overrides", *words] if words else []
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
