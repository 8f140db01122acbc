"""The emulator, for clients on this machine only, and without its deadline for JSONata.

It gives an expression one second of the clock, in which all its other threads run too: with sixty items
of a batch at a time a run now and then failed for no reason of its own.
"""

import functools

import jsonata
import loopback
from ministack import app as ministack


def without_deadline(parse):
    @functools.wraps(parse)
    def patient(*args, timeout=None, **kwargs):
        return parse(*args, **kwargs)

    return patient


def for_this_machine(app):
    """Answers 403 in the place of `app`, an ASGI application, where a web page or a foreign name calls."""

    @functools.wraps(app)
    async def guarded(scope, receive, send):
        refused = scope["type"] in ("http", "websocket") and loopback.refusal(lambda name: header(scope, name))
        if not refused:
            return await app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": f"{refused}\n".encode()})

    return guarded


def header(scope, name):
    """Returns the last value of a header, None where there is none."""
    values = [value for given, value in scope["headers"] if given.lower() == name.encode()]
    return values[-1].decode("latin-1") if values else None


if __name__ == "__main__":
    jsonata.Jsonata.jsonata = staticmethod(without_deadline(jsonata.Jsonata.jsonata))
    ministack.app = for_this_machine(ministack.app)
    ministack.main()
