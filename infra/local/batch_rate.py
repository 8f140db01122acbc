"""Measures the items of a batch that the local stack completes per minute: `make rate ITEMS=5000 CONCURRENCY=64`.

It sends one batch, from the message to the end of its execution, to a model that answers after MODEL_MS milliseconds. It
checks that the manifest accounts for every item, and prints the CPU time of each kind of process, to name the limit, and
the peak memory of each function. With BYTES, each item has a text of that size. MODE=bulk sends a batch in bulk, and
SCRIPT adds a line for the scripted model to each item: "@bulk lost" makes it a leftover of its job.
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile

import processes
from batch import Stack, push
from checkout import ENVIRONMENT, ROOT, Failed

MODEL_MS = 50


def main():
    items, concurrency = (int(os.environ[name]) for name in ("ITEMS", "CONCURRENCY"))
    raise_limit()
    stack, item_bytes = Stack(), int(os.environ.get("BYTES") or 0)
    cpu = lambda: (processes.used(stack.session), processes.busy())
    before = cpu()
    mode, script = os.environ.get("MODE") or "on_demand", os.environ.get("SCRIPT") or ""
    seconds = stack.run(f"rate-{items}", items, MODEL_MS, item_bytes, script, mode=mode, concurrency=concurrency)
    spent = processes.spent(before, cpu())
    print(f"{items} items, mode {mode}, {concurrency} at a time, model answering after {MODEL_MS} ms")
    print(f"{seconds:.1f} s, {60 * items / seconds:,.0f} items per minute")
    for row in rows(spent, seconds, items):
        print(row)
    print(f"limit: {processes.limit(spent, seconds, os.cpu_count())}")
    for kind, megabytes in sorted(processes.peaks(stack.session).items()):
        print(f"peak memory of {kind}: {megabytes:.1f} MB")


def raise_limit():
    """Pushes the configuration with a limit that a batch of any size stays below."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, ENVIRONMENT)
        shutil.copytree(ROOT / "infra" / "config" / ENVIRONMENT, config)
        budgets = config / "budgets.yaml"
        raised, found = re.subn(r'(scope: batch, usd:) "[\d.]+"', r'\1 "100000.00"', budgets.read_text())
        if not found:
            raise Failed(f"{budgets.name} has no limit of one batch in USD")
        budgets.write_text(raised)
        push(config)


def rows(spent, seconds, items):
    """Returns the rows of the table of CPU times, the largest first."""
    yield f"{'process':<16} | {'CPU s':>7} | {'cores':>5} | {'ms per item':>11}"
    for kind, cpu in sorted(spent.items(), key=lambda pair: -pair[1]):
        if cpu >= 0.005 * sum(spent.values()):
            yield f"{kind:<16} | {cpu:>7.1f} | {cpu / seconds:>5.2f} | {1000 * cpu / items:>11.2f}"


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"error: {failure}")
