"""Tests the bridge with a small OpenAI-compatible server and with boto3, which reads the stream like Bedrock's."""

import json
import os
import threading
import unittest
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import model_bridge


class Server(BaseHTTPRequestHandler):
    """Sends the answers that the test has set."""

    def do_GET(self):
        self.send(self.server.models_status, json.dumps({"data": [{"id": name} for name in self.server.models]}))

    def do_POST(self):
        self.server.asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.key = self.headers.get("authorization")
        self.send(self.server.status, self.server.says)

    def send(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def said(*words, finish="stop", usage={"prompt_tokens": 7, "completion_tokens": 3}):
    chunks = [{"choices": [{"delta": {"content": word}, "finish_reason": None}]} for word in words]
    if finish:
        chunks.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    if usage:
        chunks.append({"choices": [], "usage": usage})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def serve(server):
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


class ModelBridge(unittest.TestCase):
    def setUp(self):
        self.server = serve(ThreadingHTTPServer(("127.0.0.1", 0), Server))
        self.server.models, self.server.models_status, self.server.status = ["tiny"], 200, 200
        self.endpoint = model_bridge.Endpoint(f"http://127.0.0.1:{self.server.server_port}/v1/", None)
        self.endpoint.choose_model()
        self.bridge = serve(model_bridge.bridge(self.endpoint))
        url = f"http://127.0.0.1:{self.bridge.server_port}/us-east-1"
        settings = {"endpoint_url": url, "region_name": "us-east-1", "config": Config(retries={"max_attempts": 0})}
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.client = boto3.client("bedrock-runtime", **keys, **settings)

    def tearDown(self):
        for server in (self.server, self.bridge):
            server.shutdown()
            server.server_close()

    def ask(self, **more):
        messages = [{"role": "user", "content": [{"text": "Hello"}]}]
        answer = self.client.converse_stream(modelId="us.anthropic.claude-haiku-4-5", messages=messages, **more)
        events = [next(iter(event.items())) for event in answer["stream"]]
        text = "".join(e["delta"].get("text", "") for kind, e in events if kind == "contentBlockDelta")
        return text, dict(events)

    def test_an_answer_is_a_stream_with_its_usage(self):
        self.server.says = said("Good ", "day.")
        text, events = self.ask(system=[{"text": "Be brief."}], inferenceConfig={"maxTokens": 9, "temperature": 0.5})
        self.assertEqual(text, "Good day.")
        self.assertEqual(events["messageStop"], {"stopReason": "end_turn"})
        self.assertEqual(events["metadata"]["usage"]["outputTokens"], 3)
        asked = self.server.asked
        self.assertEqual((asked["model"], asked["max_tokens"], asked["temperature"]), ("tiny", 9, 0.5))
        self.assertEqual([message["role"] for message in asked["messages"]], ["system", "user"])

    def test_a_schema_is_passed_on(self):
        self.server.says = said("{}")
        schema = {"type": "object"}
        structure = {"jsonSchema": {"name": "answer", "schema": json.dumps(schema)}}
        self.ask(outputConfig={"textFormat": {"type": "json_schema", "structure": structure}})
        self.assertEqual(self.server.asked["response_format"]["json_schema"]["schema"], schema)

    def test_a_long_answer_has_its_stop_reason(self):
        self.server.says = said("Good", finish="length")
        self.assertEqual(self.ask()[1]["messageStop"], {"stopReason": "max_tokens"})

    def test_a_cut_answer_has_no_message_stop(self):
        self.server.says = said("Good", finish=None, usage=None)
        self.assertNotIn("messageStop", self.ask()[1])

    def test_unknown_usage_is_left_out(self):
        self.server.says = said("Good", usage=None)
        self.assertNotIn("metadata", self.ask()[1])

    def test_errors_have_bedrocks_names(self):
        errors = {429: "ThrottlingException", 404: "ResourceNotFoundException", 500: "InternalServerException"}
        for status, name in errors.items():
            self.server.status, self.server.says = status, json.dumps({"error": {"message": "no such luck"}})
            with self.assertRaises(ClientError) as raised:
                self.ask()
            self.assertEqual(raised.exception.response["Error"]["Code"], name)
            self.assertIn("no such luck", str(raised.exception))

    def test_a_stopped_endpoint_is_unavailable(self):
        self.server.shutdown()
        self.server.server_close()
        with self.assertRaises(ClientError) as raised:
            self.ask()
        self.assertEqual(raised.exception.response["Error"]["Code"], "ServiceUnavailableException")

    def test_the_key_is_passed_on(self):
        self.server.says = said("Good")
        os.environ["MODEL_API_KEY"] = "key"
        self.addCleanup(os.environ.pop, "MODEL_API_KEY")
        self.ask()
        self.assertEqual(self.server.key, "Bearer key")

    def test_a_web_page_cannot_spend_the_key(self):
        self.server.says, self.server.asked = said("Good"), None
        url = f"http://127.0.0.1:{self.bridge.server_port}/model/m/converse-stream"
        for header in ({"origin": "https://evil.example"}, {"host": "evil.example"}, {"sec-fetch-site": "cross-site"}):
            page = urllib.request.Request(url, b'{"messages": []}', {"content-type": "text/plain"} | header)
            with self.subTest(header), self.assertRaises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(page)
            self.assertEqual(raised.exception.code, 403)
            self.assertIsNone(self.server.asked)

    def test_a_wrong_url_or_model_is_reported_at_the_start(self):
        url = self.endpoint.url
        self.server.models = ["large", "tiny"]
        with self.assertRaisesRegex(ValueError, "set MODEL to a model of .* it has large, tiny"):
            model_bridge.Endpoint(url, None).choose_model()
        with self.assertRaisesRegex(ValueError, "set MODEL"):
            model_bridge.Endpoint(url, "huge").choose_model()
        self.server.models_status = 404
        model_bridge.Endpoint(url, "unlisted").choose_model()
        with self.assertRaisesRegex(ValueError, "answers 404"):
            model_bridge.Endpoint(url, None).choose_model()
        with self.assertRaisesRegex(ValueError, "http://127.0.0.1:9/v1 does not answer: .*refused"):
            model_bridge.Endpoint("http://127.0.0.1:9/v1", None).choose_model()


if __name__ == "__main__":
    unittest.main()
