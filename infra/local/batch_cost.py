"""Measures what AWS would charge for a batch: `make cost SIZES="500 1500" CONCURRENCY=50 MODES="on_demand bulk"`.

It runs two batches of different sizes in each mode on a stack with a meter (meter.py), and prices what they took
(prices.py). The difference of the two is the cost of an item, and the rest that of a batch. Choose multiples of 500
items, so that what a part costs is divided among its items.
"""

import os
import sys

import batch
import prices
from batch import Stack
from checkout import Failed

# How long the model takes on demand, as is assumed of a model on AWS. No function waits for the answers of a bulk job.
MODEL_MS = 5000
# Of a bulk job. It may have no fewer.
FEWEST_RECORDS = 100


def main():
    stack, concurrency = Stack(), int(os.environ["CONCURRENCY"])
    sizes = sorted({int(size) for size in os.environ["SIZES"].split()})
    if len(sizes) != 2 or sizes[0] < FEWEST_RECORDS:
        raise Failed(f"SIZES must be two numbers of items, each at least {FEWEST_RECORDS}")
    for mode in os.environ["MODES"].split():
        measured = [(items, measure(stack, mode, items, concurrency)) for items in sizes]
        print(f"\nmode {mode}, {' and '.join(map(str, sizes))} items of the workflow explain, {concurrency} at a time")
        small, large = ((items, prices.charged(taken)) for items, (taken, _) in measured)
        for row in prices.table(prices.lines(small, large)):
            print(row)
        for sentence in assumptions(*measured[1][1]):
            print(sentence)


def measure(stack, mode, items, concurrency):
    """Runs a batch. Returns what the meter counted, and the calls of the model."""
    before, calls = batch.counts(), batch.calls_of_model()
    model_ms = 0 if mode == "bulk" else MODEL_MS
    seconds = stack.run(f"cost-{mode}-{items}", items, model_ms, mode=mode, concurrency=concurrency)
    taken = {name: count - before.get(name, 0) for name, count in batch.counts().items()}
    print(f"{mode}: {items} items in {seconds:.0f} s", file=sys.stderr, flush=True)
    return taken, batch.calls_of_model() - calls


def assumptions(taken, calls):
    """Returns the sentences that say how the time of functions was computed."""
    waited = sum(taken.get(f"lambda {name} seconds", 0) for name in prices.MODEL_CALLERS)
    if waited:
        callers, in_flight = " or ".join(prices.MODEL_CALLERS), calls * MODEL_MS / 1000 / waited
        yield f"Assumed: the model answers after {MODEL_MS / 1000:.0f} s."
        yield f"Measured: {in_flight:.2f} calls in flight for each function that calls the model ({callers})."
    yield "The seconds of functions are those of the local stack, which is slower than AWS."
    yield "Their memory is that of the template."
    yield "Not counted: the results of children that a Distributed Map writes, and tokens."


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"error: {failure}")
