import asyncio
import base64
import json
import unittest

import recorder

ENDPOINT = "http://127.0.0.1:4566"


def request(recording, app, path, method="GET", body=b"", headers=(), query=b""):
    """Sends a request to an application behind a recorder. Returns the status and the body of the answer."""
    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "query_string": query}
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(recording.served(app)(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


async def store(scope, receive, send):
    """An application that answers with what it was asked."""
    asked = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()} {(await receive())['body'].decode()}"
    headers = [(b"etag", b'"e"'), (b"date", b"today"), (b"access-control-allow-origin", b"*")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": asked.encode()})


def invoked(recording, name="invoke", during=lambda: None):
    config = {"FunctionName": f"bcce-dev-{name}", "Environment": {"Variables": {"BCCE_ENVIRONMENT": "dev"}}}

    def execute(function, config, event):
        recording.environment(lambda config: environment())(config)
        during()
        return {"body": {"done": True}}

    return recording.invoked(execute)({}, config, {"run": 1})


def environment():
    return {
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9000/{region}",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "BCCE_ENVIRONMENT": "dev",
        "HOME": "/home",
    }


class Recorder(unittest.TestCase):
    def test_an_invocation_has_the_environment_of_the_template_and_its_exchanges(self):
        recording = recorder.Recorder()
        target = [(b"x-amz-target", b"DynamoDB.PutItem")]
        answers = []
        during = lambda: answers.append(
            request(recording, store, "/_bcce/of/invoke/b/k", "PUT", b"text", target, b"x-id=PutObject")
        )
        invoked(recording, during=during)
        self.assertEqual(answers, [(201, b"PUT /b/k?x-id=PutObject text")])
        status, body = request(recording, store, recorder.PATH)
        [invocation] = json.loads(body)
        [exchange] = invocation["exchanges"]
        self.assertEqual((status, invocation["function"], invocation["event"]), (200, "invoke", {"run": 1}))
        self.assertEqual(invocation["answer"], {"done": True})
        self.assertEqual(invocation["environment"], {"AWS_REGION": "us-east-1", "BCCE_ENVIRONMENT": "dev"})
        self.assertEqual(base64.b64decode(exchange.pop("body")), answers[0][1])
        self.assertLessEqual(invocation["started"], exchange.pop("at"))
        self.assertEqual(
            exchange,
            {
                "method": "PUT",
                "path": "/b/k?x-id=PutObject",
                "target": "DynamoDB.PutItem",
                "request": "text",
                "status": 201,
                "headers": {"etag": '"e"'},
            },
        )
        self.assertEqual(request(recording, store, recorder.PATH)[1], b"[]")

    def test_invocations_at_the_same_time_are_left_out(self):
        recording = recorder.Recorder()
        invoked(recording, during=lambda: invoked(recording))
        self.assertEqual(recording.take(), [])
        invoked(recording, during=lambda: invoked(recording, "prepare"))
        self.assertEqual([invocation["function"] for invocation in recording.take()], ["prepare", "invoke"])

    def test_requests_of_others_are_not_recorded(self):
        recording = recorder.Recorder()
        invoked(recording, during=lambda: self.assertEqual(request(recording, store, "/b/k")[0], 201))
        self.assertEqual(recording.take()[0]["exchanges"], [])

    def test_a_function_reaches_services_and_models_through_the_recorder(self):
        endpoints = recorder.redirected(environment(), "invoke")
        self.assertEqual(
            endpoints,
            {
                "AWS_ENDPOINT_URL": f"{ENDPOINT}/_bcce/of/invoke/",
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"{ENDPOINT}/_bcce/of/invoke/elsewhere/127.0.0.1:9000/{{region}}",
            },
        )


if __name__ == "__main__":
    unittest.main()
