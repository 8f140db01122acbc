"""Runs `sam deploy` with default values for the reserved concurrency of `invoke` and `webhook`.

`concurrency.py <section of samconfig.toml> [--parameters "Name=value ..."] -- <sam deploy ...>` runs the command with
`--parameter-overrides`. These are the parameters of the section and the parameters given here. If neither sets INVOKE
or WEBHOOK, the script computes a value that fits Lambda's pool of concurrent executions in the account. On the command
line, `--parameter-overrides` replaces the parameters of the section, so all parameters are given.
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
# Lambda refuses a reservation that leaves less than this to the functions without a reservation.
LEAST_UNRESERVED = 100
# A wave runs up to this number of steps in parallel. A lower limit would slow down a single run.
LEAST_USEFUL = 20
# Anyone can call the webhook. Each of its instances uses the pool and reads SSM. Ten instances answer thousands of
# calls per second.
WEBHOOKS = 10


@dataclass(frozen=True)
class Pool:
    """The pool of concurrent executions of an account in a region."""

    total: int
    unreserved: int
    # The current reservations of the stack's functions.
    invoke: int = 0
    webhook: int = 0


def reservation(pool, webhook=0):
    """Returns the reservation for `invoke`, and the reason. `webhook` is the reservation for the function `webhook`."""
    available = pool.unreserved + pool.invoke + pool.webhook - webhook
    rest = max(LEAST_UNRESERVED, pool.total // 2)
    value = available - rest
    if value < LEAST_USEFUL:
        return 0, (
            f"invoke has no limit: the account's pool of {pool.total} concurrent executions has {available} without a "
            f"reservation, of which {rest} must stay unreserved. To request a larger pool, see docs/deployment.md"
        )
    return value, f"{rest} of the account's pool of {pool.total} concurrent executions stay unreserved"


def parsed(overrides):
    """Parses `Name=value ...` of samconfig.toml or a command line. The last value of a name applies. Exits if invalid."""
    words = shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
    return dict(named(word) for word in words)


def named(word):
    """Returns the name and the value of a parameter in either of the forms that sam accepts."""
    long_form = re.fullmatch(r"ParameterKey=([^,]+),ParameterValue=(.*)", word, re.DOTALL)
    if long_form:
        return long_form.groups()
    name, equals, value = word.partition("=")
    if not equals:
        sys.exit(f"error: the parameter {word} has no value: expected Name=value")
    return name, value


def quoted(name, value):
    """Returns a parameter in the form that sam accepts. Without quotation marks, sam would cut the value at a space."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


def overrides(section, given, ask):
    """Returns the parameters for sam, and the notes to print. `ask` returns the pool, or the reason why it is unknown."""
    values = parsed(section.get("parameter_overrides", "")) | parsed(given)
    missing = [name for name in (WEBHOOK, INVOKE) if name not in values]
    if values.get("Webhook") == "off":
        missing = [name for name in missing if name != WEBHOOK]
    said = [f"{name}={values[name]}, as configured" for name in (WEBHOOK, INVOKE) if name in values]
    if not missing:
        return values, said
    pool = ask()
    if isinstance(pool, str):
        return values, [*said, f"{' and '.join(missing)}: unchanged, because Lambda's pool cannot be read ({pool})"]
    if WEBHOOK in missing:
        # Keep the value of an earlier deployment, as sam does for a parameter that is not given.
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
