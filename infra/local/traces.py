"""Passes trace headers on inside the emulator, as X-Ray has AWS do it.

By itself, the emulator gives each invocation of a traced function a trace of its own. On AWS, a request has the trace of
the function that sends it, an execution has the trace of the request that starts it, and an invocation has the trace of
its execution. Without a request that has one, an execution has a new trace. All traces are sampled.

It also plays the X-Ray daemon of the functions. `GET /_bcce/spans` returns the latest spans that they sent, as a JSON array.
"""

import collections
import contextlib
import contextvars
import functools
import json
import os
import socket
import threading

from meter import replace
from recorder import answer

PATH = "/_bcce/spans"
HEADER = b"x-amzn-trace-id"
# The first line of a datagram to the daemon.
PROTOCOL = {"format": "json", "version": 1}
TRACED = {"TracingConfig": {"Mode": "Active"}}

# The trace header of the request or execution under way. The emulator copies the context to the threads of both.
current = contextvars.ContextVar("trace", default=None)


def of_request(app):
    """Wraps `app`, an ASGI application."""

    @functools.wraps(app)
    async def traced(scope, receive, send):
        values = [value for name, value in scope.get("headers", []) if name.lower() == HEADER]
        current.set(values[-1].decode("latin-1") if values else None)
        return await app(scope, receive, send)

    return traced


def of_execution(header_of):
    """Returns a wrapper of a function that runs an execution. `header_of` returns a trace header for a function."""

    def wrap(run):
        @functools.wraps(run)
        def traced(arn):
            if current.get() is None:
                current.set(header_of(TRACED))
            return run(arn)

        return traced

    return wrap


def of_invocation(header_of):
    """Wraps `header_of`, which returns a trace header for an invocation, or None if the function is not traced."""

    @functools.wraps(header_of)
    def passed_on(config, inbound_trace_header=None):
        header = header_of(config, inbound_trace_header)
        return header if header is None or inbound_trace_header else current.get() or header

    return passed_on


class Daemon:
    """Receives the spans of functions, and keeps the latest `most` of them."""

    def __init__(self, most=20_000):
        self.spans = collections.deque(maxlen=most)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))

    def start(self):
        """Starts the daemon. Functions that start later find its address in their environment."""
        os.environ["AWS_XRAY_DAEMON_ADDRESS"] = "{}:{}".format(*self.socket.getsockname())
        threading.Thread(target=self.receive, daemon=True).start()

    def receive(self):
        while True:
            datagram = self.socket.recv(65_536)
            # A span in another form is not kept, so that the test which looks for it fails.
            with contextlib.suppress(ValueError):
                protocol, _, span = datagram.decode().partition("\n")
                if json.loads(protocol) == PROTOCOL:
                    self.spans.append(json.loads(span))

    def served(self, app):
        """Wraps `app`, an ASGI application. Answers requests for the spans."""

        @functools.wraps(app)
        async def served(scope, receive, send):
            if scope.get("path") != PATH:
                return await app(scope, receive, send)
            await answer(send, 200, [(b"content-type", b"application/json")], json.dumps(list(self.spans)).encode())

        return served


def install(app):
    """Puts the traces and the daemon into the emulator, whose module is `app`."""
    from ministack.services import lambda_svc, stepfunctions

    daemon = Daemon()
    daemon.start()
    replace(stepfunctions, "_run_execution", of_execution(lambda_svc._xray_trace_id_for_invocation))
    replace(lambda_svc, "_xray_trace_id_for_invocation", of_invocation)
    app.app = daemon.served(of_request(app.app))
