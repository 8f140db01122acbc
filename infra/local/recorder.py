"""Records inside the emulator what functions receive and what they exchange with services, for `make bench`.

`stack.py run --recorded` sets BCCE_RECORDER, which installs it. Each function gets endpoints whose path has its name, so
that its requests can be told from those of others. `GET /_bcce/recorded` returns what ended since the last such request,
as a JSON array of invocations in the order in which they ended:

    function     the name, such as `invoke`
    environment  the variables that the deployed template and Lambda give the function, without credentials and endpoints
    event        the event of the invocation
    started      when it started, in seconds since 1970
    answer       what the function returned
    exchanges    its requests, in the order of their answers: method, path with the query, target (X-Amz-Target) and the
                 body of a request that has one; status, headers and body (base64) of the answer, and its time

The requests of a function are those between the start and the end of its invocation. Invocations of a function at the same
time cannot be told apart, so they are left out. The body of a model's answer is recorded whole, without the pauses in its stream.
"""

import asyncio
import base64
import collections
import functools
import http.client
import json
import threading
import time
from urllib.parse import unquote, urlsplit

from meter import function_name, replace

PATH = "/_bcce/recorded"
# A function calls `<PREFIX>/<function>/<path>` for a service in the emulator, and
# `<PREFIX>/<function>/<ELSEWHERE>/<host:port>/<path>` for the models.
PREFIX, ELSEWHERE = "/_bcce/of", "elsewhere"
# Headers of a connection, which the bench sets itself, and those that AWS does not send to a function.
DROPPED = ("connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "access-control-")
# What the bench gives each process itself: the addresses of its services, and credentials.
GIVEN = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API")


class Recorder:
    def __init__(self):
        self.lock, self.ended = threading.Lock(), []
        self.current, self.environments = {}, {}
        # The invocations that run, by function.
        self.running = collections.defaultdict(list)

    def take(self):
        """Returns the invocations that ended since the last call."""
        with self.lock:
            ended, self.ended = self.ended, []
        return ended

    def invoked(self, execute):
        """Wraps `execute`, which executes an invocation of a function. Records the invocation."""

        @functools.wraps(execute)
        def recorded(function, config, event, *args):
            name = function_name(config["FunctionName"])
            invocation = {"function": name, "event": event, "started": time.time(), "exchanges": []}
            with self.lock:
                running = self.running[name]
                running.append(invocation)
                for mixed in running if len(running) > 1 else []:
                    mixed["mixed"] = True
                self.current[name] = invocation
            answer = execute(function, config, event, *args)
            invocation |= {"answer": answer.get("body"), "environment": self.environments.get(name, {})}
            with self.lock:
                running[:] = [other for other in running if other is not invocation]
                if not invocation.pop("mixed", False):
                    self.ended.append(invocation)
            return answer

        return recorded

    def environment(self, environment_of):
        """Wraps `environment_of`, which returns the environment of a function's process."""

        @functools.wraps(environment_of)
        def recorded(config, *args):
            environment, name = environment_of(config, *args), function_name(config["FunctionName"])
            ours = set(config.get("Environment", {}).get("Variables", {}))
            self.environments[name] = {
                variable: value
                for variable, value in environment.items()
                if (variable in ours or variable.startswith(("AWS_LAMBDA_", "AWS_REGION"))) and not variable.startswith(GIVEN)
            }
            return environment | redirected(environment, name)

        return recorded

    def served(self, app):
        """Wraps `app`, an ASGI application. Records the exchanges of functions, and answers requests for the recording."""

        @functools.wraps(app)
        async def served(scope, receive, send):
            path = scope.get("path", "")
            if scope["type"] == "http" and path == PATH:
                return await answer(send, 200, [(b"content-type", b"application/json")], json.dumps(self.take()).encode())
            if scope["type"] != "http" or not path.startswith(f"{PREFIX}/"):
                return await app(scope, receive, send)
            raw, body = scope.get("raw_path", path.encode()).decode().removeprefix(f"{PREFIX}/"), await whole(receive)
            function, _, rest = raw.partition("/")
            rest = rest.lstrip("/")
            query = scope.get("query_string", b"").decode()
            if rest.startswith(f"{ELSEWHERE}/"):
                rest = rest.removeprefix(f"{ELSEWHERE}/").partition("/")[2]
                status, headers, content = await asyncio.to_thread(ask, scope, raw, query, body)
            else:
                inner = scope | {"path": "/" + unquote(rest), "raw_path": f"/{rest}".encode()}
                status, headers, content = await asked(app, inner, body)
            self.add(function, scope, "/" + rest + (f"?{query}" if query else ""), body, status, headers, content)
            await answer(send, status, headers, content)

        return served

    def add(self, function, scope, path, body, status, headers, content):
        target = [value.decode() for name, value in scope["headers"] if name.lower() == b"x-amz-target"]
        kept = {name.decode().lower(): value.decode("latin-1") for name, value in headers}
        self.current[function]["exchanges"].append(
            {
                "method": scope["method"],
                "path": path,
                "target": target[0] if target else None,
                "request": body.decode() if target else "",
                "status": status,
                "headers": {name: value for name, value in kept.items() if not name.startswith(DROPPED)},
                "body": base64.b64encode(content).decode(),
                "at": time.time(),
            }
        )

    def install(self, app):
        """Puts the recorder into the emulator, whose module is `app`."""
        from ministack.services import lambda_svc

        replace(lambda_svc, "_execute_function_dispatch", self.invoked)
        replace(lambda_svc, "_provided_worker_env", self.environment)
        app.app = self.served(app.app)


def redirected(environment, name):
    """Returns the endpoints of a function that lead to the recorder."""
    here = environment["AWS_ENDPOINT_URL"]
    # The client of S3 adds the bucket to the path without a slash.
    endpoints = {"AWS_ENDPOINT_URL": f"{here}{PREFIX}/{name}/"}
    for variable, url in environment.items():
        if variable.startswith("AWS_ENDPOINT_URL_"):
            model = urlsplit(url)
            endpoints[variable] = f"{here}{PREFIX}/{name}/{ELSEWHERE}/{model.netloc}{model.path}"
    return endpoints


async def whole(receive):
    """Returns the body of a request."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def asked(app, scope, body):
    """Sends a request to `app`. Returns status, headers and body of the answer."""
    seen = {"status": 500, "headers": [], "body": b""}

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            seen.update(status=message["status"], headers=message.get("headers", []))
        else:
            seen["body"] += message.get("body", b"")

    await app(scope, receive, send)
    return seen["status"], seen["headers"], seen["body"]


def ask(scope, raw, query, body):
    """Sends a request to the host in its path. Returns status, headers and body of the answer."""
    _, _, host, path = raw.split("/", 3)
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]} | {"connection": "close"}
    connection = http.client.HTTPConnection(host, timeout=600)
    try:
        connection.request(scope["method"], f"/{path}" + (f"?{query}" if query else ""), body, headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    return response.status, [(name.encode(), value.encode("latin-1")) for name, value in response.getheaders()], content


async def answer(send, status, headers, content):
    kept = [(name, value) for name, value in headers if name.lower() not in (b"content-length", b"transfer-encoding")]
    kept.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": kept})
    await send({"type": "http.response.body", "body": content})
