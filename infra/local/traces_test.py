import asyncio
import contextvars
import inspect
import json
import os
import socket
import time
import unittest
from unittest import mock

import traces
from ministack.services import lambda_svc, stepfunctions

FUNCTION = {"FunctionName": "f", "TracingConfig": {"Mode": "Active"}}
header_of = lambda_svc._xray_trace_id_for_invocation


def in_context(run, *args):
    return contextvars.Context().run(run, *args)


class Traces(unittest.TestCase):
    passed_on = staticmethod(traces.of_invocation(header_of))

    def run_twice(self, header=None):
        """Returns the trace headers of two functions of an execution that a request with `header` starts."""
        seen = []
        run = traces.of_execution(header_of)(lambda arn: seen.extend(self.passed_on(FUNCTION) for _ in (1, 2)))

        async def app(scope, receive, send):
            contextvars.copy_context().run(run, "arn")

        headers = [(b"X-Amzn-Trace-Id", header.encode())] if header else []
        in_context(asyncio.run, traces.of_request(app)({"type": "http", "headers": headers}, None, None))
        return seen

    def test_an_execution_has_the_trace_of_the_request_that_starts_it(self):
        self.assertEqual(self.run_twice("Root=1-1-1;Sampled=1"), ["Root=1-1-1;Sampled=1"] * 2)

    def test_an_execution_that_nothing_traced_starts_has_one_new_trace(self):
        first, second = self.run_twice()
        self.assertEqual(first, second)
        self.assertRegex(first, "^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=1$")
        self.assertNotEqual(first, self.run_twice()[0])

    def test_an_invocation_outside_of_both_has_a_trace_of_its_own(self):
        self.assertNotEqual(in_context(self.passed_on, FUNCTION), in_context(self.passed_on, FUNCTION))
        self.assertEqual(in_context(self.passed_on, FUNCTION, "Root=1-2-2"), "Root=1-2-2")

    def test_a_function_that_is_not_traced_has_no_trace(self):
        def untraced():
            traces.current.set("Root=1-1-1")
            return self.passed_on({"FunctionName": "f", "TracingConfig": {"Mode": "PassThrough"}})

        self.assertIsNone(in_context(untraced))

    def test_what_is_wrapped_exists(self):
        self.assertEqual(list(inspect.signature(stepfunctions._run_execution).parameters), ["exec_arn"])
        self.assertEqual(list(inspect.signature(header_of).parameters), ["config", "inbound_trace_header"])


class Spans(unittest.TestCase):
    def test_the_daemon_returns_the_latest_spans_in_the_form_of_x_ray(self):
        daemon = traces.Daemon(most=2)
        self.addCleanup(daemon.socket.close)
        with mock.patch.dict(os.environ):
            daemon.start()
            host, port = os.environ["AWS_XRAY_DAEMON_ADDRESS"].split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as function:
            for version, n in ((1, 1), (1, 2), (2, 0), (1, 3)):
                function.sendto(b"x", (host, int(port)))
                function.sendto(b"\xff", (host, int(port)))
                protocol = json.dumps({"format": "json", "version": version})
                function.sendto(f'{protocol}\n{{"n": {n}}}'.encode(), (host, int(port)))
        for _ in range(1_000):
            if {"n": 3} in daemon.spans:
                break
            time.sleep(0.01)
        sent = []

        async def send(message):
            sent.append(message)

        asyncio.run(daemon.served(None)({"type": "http", "path": traces.PATH}, None, send))
        self.assertEqual(json.loads(sent[1]["body"]), [{"n": 2}, {"n": 3}])
