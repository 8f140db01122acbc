"""Bounds `invoke` and `webhook` by default: asks the account for Lambda's pool and gives a deployment values that fit.

`concurrency.py <section of samconfig.toml> [--parameters "Name=value ..."] -- <sam deploy ...>` runs the command with
`--parameter-overrides`: those of the section, those given here, and the two of INVOKE and WEBHOOK that neither has. sam
takes what stands on the command line in the place of the section's, so that all are given.
"""

import argparse
import os
import pathlib
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
INVOKE, WEBHOOK = "InvokeReservedConcurrency", "WebhookReservedConcurrency"
# Lambda refuses a reservation that leaves fewer of the account's pool to the functions that reserve nothing.
LEAST_UNRESERVED = 100
# A wave runs so many steps side by side. A bound below that would slow a single run.
LEAST_USEFUL = 20
# Strangers can call the webhook: each instance of it takes a place of the pool and reads SSM for itself. Ten answer
# thousands of calls a second.
WEBHOOKS = 10


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
    """`Name=value ...` of samconfig.toml or a command line, by name; a later one counts. Exits where it is neither."""
    words = shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
    return dict(named(word) for word in words)


def named(word):
    """Name and value of a word in either of the forms that sam reads."""
    long_form = re.fullmatch(r"ParameterKey=([^,]+),ParameterValue=(.*)", word, re.DOTALL)
    if long_form:
        return long_form.groups()
    name, equals, value = word.partition("=")
    if not equals:
        sys.exit(f"error: the parameter {word} has no value: expected Name=value")
    return name, value


def quoted(name, value):
    """A word that sam reads as this parameter. Without quotation marks it would cut the value at a space."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


def overrides(section, given, ask):
    """What is given to sam, and what there is to say. `ask` returns the pool, or why it cannot be read as text."""
    values = parsed(section.get("parameter_overrides", "")) | parsed(given)
    missing = [name for name in (WEBHOOK, INVOKE) if name not in values]
    if values.get("Webhook") == "off":
        missing = [name for name in missing if name != WEBHOOK]
    said = [f"{name}={values[name]}, as it is set" for name in (WEBHOOK, INVOKE) if name in values]
    if not missing:
        return values, said
    pool = ask()
    if isinstance(pool, str):
        return values, [*said, f"{' and '.join(missing)}: unchanged, since Lambda's pool cannot be read ({pool})"]
    if WEBHOOK in missing:
        # An earlier deployment's value stays, as sam keeps what it is not given.
        webhook = pool.webhook or (WEBHOOKS if reservation(pool, WEBHOOKS)[0] else 0)
        values[WEBHOOK] = str(webhook)
        said.append(f"{WEBHOOK}={webhook}")
    if INVOKE in missing:
        value, because = reservation(pool, int(values.get(WEBHOOK, 0)))
        values[INVOKE] = str(value)
        said.append(f"{INVOKE}={value}: {because}")
    return values, said


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
    if "stack_name" not in section:
        sys.exit(f"error: [{args.section}.deploy.parameters] of samconfig.toml has no stack_name")
    values, said = overrides(section, args.parameters, lambda: ask_account(section))
    for line in said:
        print(f"note: {line}", file=sys.stderr)
    words = [quoted(name, value) for name, value in values.items()]
    command += ["--parameter-overrides", *words] if words else []
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
