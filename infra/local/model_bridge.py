"""Offers Bedrock's ConverseStream for an OpenAI-compatible endpoint, such as Ollama, llama.cpp or vLLM.

  model_bridge.py MODEL_URL [MODEL]

MODEL_URL is the base URL of /chat/completions and /models. MODEL answers every call, whatever its model id. It can be
omitted if the endpoint has only one model. The environment variable MODEL_API_KEY is sent as the key.

The bridge passes on texts, max_tokens, temperature and a JSON schema. It ignores effort, guardrails and cache points.
"""

import binascii
import contextlib
import json
import os
import re
import struct
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import loopback

# The timeout for data from the endpoint, in seconds. The limits of `invoke` are shorter.
PATIENCE = 300
LIMITS = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "content_filtered"}
ERRORS = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
    422: "ValidationException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
STATUSES = {"AccessDeniedException": 403, "ValidationException": 400}


class Endpoint:
    def __init__(self, url, model):
        self.url, self.model = url.rstrip("/"), model

    def open(self, path, body=None):
        headers = {"content-type": "application/json"}
        if os.environ.get("MODEL_API_KEY"):
            headers["authorization"] = f"Bearer {os.environ['MODEL_API_KEY']}"
        data = json.dumps(body).encode() if body else None
        return urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=PATIENCE)

    def choose_model(self):
        """Checks the URL and the model at the start. Raises ValueError, which says what to do."""
        try:
            with self.open("/models") as answer:
                names = sorted(model["id"] for model in json.load(answer)["data"])
        except urllib.error.HTTPError as error:
            # Not every server lists its models. Any other error would affect calls too.
            if error.code == 404 and self.model:
                return
            raise ValueError(f"{self.url}/models answers {error.code} {error.reason}") from None
        except OSError as error:
            raise ValueError(f"{self.url} does not answer: {getattr(error, 'reason', error)}") from None
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self.url}/models is not an OpenAI-compatible list of models") from None
        if self.model is None and len(names) == 1:
            self.model = names[0]
        # Ollama accepts a name without its tag and then uses `latest`.
        if self.model not in names and f"{self.model}:latest" not in names:
            has = f"it has {', '.join(names)}" if names else "it has none"
            raise ValueError(f"set MODEL to a model of {self.url}: {has}")


def chat(converse, model):
    """Translates a Converse request into a chat completion request."""
    texts = lambda content: "\n".join(part["text"] for part in content if "text" in part)
    messages = [{"role": "system", "content": texts(converse["system"])}] if converse.get("system") else []
    messages += [{"role": m["role"], "content": texts(m["content"])} for m in converse["messages"]]
    request = {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    limits = converse.get("inferenceConfig", {})
    for name, converse_name in LIMITS.items():
        if converse_name in limits:
            request[name] = limits[converse_name]
    structure = converse.get("outputConfig", {}).get("textFormat", {}).get("structure", {})
    if "jsonSchema" in structure:
        schema = json.loads(structure["jsonSchema"]["schema"])
        named = {"name": structure["jsonSchema"].get("name", "answer"), "schema": schema, "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": named}
    return request


def events(chunks):
    """Translates the chunks of a chat completion into events of ConverseStream. A cut answer has no messageStop."""
    yield "messageStart", {"role": "assistant"}
    stop = usage = None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices", []):
            stop = choice.get("finish_reason") or stop
            delta = choice.get("delta", {})
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            if thought:
                yield "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": thought}}}
            if delta.get("content"):
                yield "contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": delta["content"]}}
    if stop:
        yield "contentBlockStop", {"contentBlockIndex": 1}
        yield "messageStop", {"stopReason": STOP_REASONS.get(stop, stop)}
    # Not every server counts tokens. Without counts there is no metadata.
    if stop and usage:
        read, written = usage["prompt_tokens"], usage["completion_tokens"]
        counted = {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}
        yield "metadata", {"usage": counted, "metrics": {"latencyMs": 0}}


def chunks(lines):
    """Yields the server-sent events that are JSON."""
    for line in lines:
        data = line.decode().strip().removeprefix("data:").strip()
        if data.startswith("{"):
            yield json.loads(data)


def frame(kind, payload):
    """Encodes an event as application/vnd.amazon.eventstream, as the AWS SDKs document it."""
    headers = b""
    for name, value in ((":message-type", "event"), (":event-type", kind), (":content-type", "application/json")):
        headers += struct.pack(f"!B{len(name)}sBH", len(name), name.encode(), 7, len(value)) + value.encode()
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack("!I", binascii.crc32(message))


class Bridge(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, "application/json", json.dumps({"model": self.server.endpoint.model}).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not re.fullmatch(r"(/[a-z0-9-]+)?/model/[^/]+/converse-stream", self.path):
            return self.refuse("ValidationException", f"{self.path} is not ConverseStream")
        # A page in the user's browser must not cause costs on the user's key.
        refused = loopback.refusal(self.headers.get)
        if refused:
            return self.refuse("AccessDeniedException", refused)
        endpoint = self.server.endpoint
        try:
            answer = endpoint.open("/chat/completions", chat(json.loads(body), endpoint.model))
        except urllib.error.HTTPError as error:
            return self.refuse(ERRORS.get(error.code, "InternalServerException"), self.description_of(error))
        except OSError as error:
            return self.refuse("ServiceUnavailableException", f"{endpoint.url}: {getattr(error, 'reason', error)}")
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "application/vnd.amazon.eventstream")
        self.send_header("connection", "close")
        self.end_headers()
        # If the endpoint or the function disconnects, the stream ends without messageStop.
        with answer, contextlib.suppress(OSError, ValueError):
            for kind, payload in events(chunks(answer)):
                self.wfile.write(frame(kind, payload))

    def description_of(self, error):
        """Returns the endpoint's message, which is about the user's own model."""
        words = error.read(1000).decode(errors="replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            words = json.loads(words)["error"]["message"]
        return f"{self.server.endpoint.url} answers {error.code}: {words}"

    def refuse(self, name, message):
        status = STATUSES.get(name) or next((code for code, known in ERRORS.items() if known == name), 500)
        print(f"{name}: {message}", flush=True)
        self.answer(status, "application/json", json.dumps({"message": message}).encode(), name)

    def answer(self, status, kind, body, error=None):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if error:
            self.send_header("x-amzn-errortype", error)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs nothing: prompts must not be in a log, and the addresses are always loopback."""


def bridge(endpoint):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bridge)
    server.endpoint = endpoint
    return server


def main(url, model=None):
    endpoint = Endpoint(url, model)
    try:
        endpoint.choose_model()
    except ValueError as error:
        sys.exit(f"error: {error}")
    server = bridge(endpoint)
    print(f"listening on http://127.0.0.1:{server.server_port} for {endpoint.model}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
