"""The emulator, without its deadline for JSONata.

It gives an expression one second of the clock, in which all its other threads want their turns too: with sixty items
of a batch at a time a run now and then failed for no reason of its own.
"""

import functools

import jsonata
from ministack.app import main


def without_deadline(parse):
    @functools.wraps(parse)
    def patient(*args, timeout=None, **kwargs):
        return parse(*args, **kwargs)

    return patient


if __name__ == "__main__":
    jsonata.Jsonata.jsonata = staticmethod(without_deadline(jsonata.Jsonata.jsonata))
    main()
