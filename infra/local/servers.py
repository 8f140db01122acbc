"""Starts the emulator, the models and the fault proxy, and sets up clients for them."""

import os
import socket
import ssl
import urllib.request

import certificate
import progress
from checkout import BUILT, ROOT, VENV, Failed, phase, tail

REGION = "us-east-1"


def start_emulator(session, enforced=False, functions_call=None, metered=False, recorded=False):
    """Starts the emulator and returns its URL. `functions_call` is the URL that functions call instead."""
    with phase("emulator") as note:
        for _ in range(3):
            port = free_port()
            url = f"{'https' if enforced else 'http'}://127.0.0.1:{port}"
            settings = {
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(port),
                # The host in queue URLs. It is an IP address, for which SDKs put the bucket into the path.
                "MINISTACK_HOST": "127.0.0.1",
                # This service listens on a fixed port, which two checkouts cannot share.
                "IOT_MTLS_ENABLED": "0",
                "S3_DATA_DIR": str(session.home / "s3"),
                "STATE_DIR": str(session.home / "state"),
                "TMPDIR": str(session.home / "tmp"),
            }
            if enforced:
                settings |= enforcement(session)
            if functions_call:
                # The retries of Step Functions wait a fiftieth of their time, so that tests of faults are quick.
                settings["SFN_WAIT_SCALE"] = "0.02"
            if metered:
                settings["BCCE_METER"] = "1"
            if recorded:
                settings["BCCE_RECORDER"] = "1"
            # Functions inherit the endpoint. Without it they would call AWS.
            env = outside_env() | emulator_env(session, functions_call or url) | settings
            process, log = session.start("emulator", [VENV / "bin" / "python", ROOT / "infra" / "local" / "emulator.py"], env)
            if wait_for(lambda: emulator_is_healthy(url, trusted(session)), process):
                note.append(url + (" (IAM enforced)" if enforced else ""))
                return url
            if "already in use" not in log.read_text():
                break
        raise Failed(f"the emulator does not start, its log ends with\n{tail(log)}")


def start_model(session, emulator, built=BUILT):
    """Starts the scripted model and returns its URL. Its bulk jobs bypass the fault proxy, as Bedrock would."""
    with phase("model") as note:
        env = outside_env() | emulator_env(session, emulator)
        process, log = session.start("model", [built / "scripted-model", "--port", "0"], env)
        announced = lambda: log.read_text().partition("listening on ")[2].partition("\n")
        if not wait_for(lambda: announced()[1], process):
            raise Failed(f"the scripted model does not start: run `make build`. Its log ends with\n{tail(log)}")
        url = announced()[0]
        note.append(f"{url} (scripted)")
        return url


def enforcement(session):
    """Returns the settings to enforce roles and the policies of keys, buckets and queues, as on AWS.

    Some policies refuse a connection without TLS. As root, the emulator also listens on 127.0.0.1:443 if that port is
    free. Nothing here uses the port.
    """
    cert, key = certificate.for_loopback(session.home)
    return {"AUTH": "true", "USE_SSL": "1", "MINISTACK_SSL_CERT": str(cert), "MINISTACK_SSL_KEY": str(key)}


def trusted(session):
    """Returns the path of the emulator's certificate, or None if it has none."""
    cert = session.home / certificate.CERTIFICATE
    return cert if cert.exists() else None


def start_bridge(session, model_url, model):
    """Starts the bridge to an OpenAI-compatible endpoint. Returns the bridge's URL and the name of the model."""
    with phase("model") as note:
        here = os.path.dirname(__file__)
        command = [VENV / "bin" / "python", f"{here}/model_bridge.py", model_url, *filter(None, [model])]
        process, log = session.start("model", command, outside_env() | {"PYTHONDONTWRITEBYTECODE": "1"})
        announced = lambda: log.read_text().partition("listening on ")[2].partition("\n")
        if not wait_for(lambda: announced()[1], process):
            raise Failed(log.read_text().strip().removeprefix("error: ") or f"{model_url} does not answer")
        url, _, name = announced()[0].partition(" for ")
        note.append(f"{name} at {model_url}, through {url}")
        return url, name


def start_emulator_behind_faults(session):
    """Starts the emulator and a fault proxy. Returns the URLs of both.

    Only the functions call the proxy. It passes all calls on to the emulator until a test sets rules.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    emulator = start_emulator(session, functions_call=url)
    with phase("faults") as note:
        command = [VENV / "bin" / "microburst", "--host", "127.0.0.1", "--port", str(port), "--upstream", emulator]
        process, log = session.start("faults", command, outside_env())
        if not wait_for(lambda: is_healthy(f"{url}/_microburst/health"), process):
            raise Failed(f"the fault proxy does not start, its log ends with\n{tail(log)}")
        note.append(url)
    return emulator, url


def emulator_env(session, url):
    """Returns the environment that makes an AWS client call the emulator and ignore the user's ~/.aws."""
    trust = {"AWS_CA_BUNDLE": str(trusted(session))} if trusted(session) else {}
    return trust | {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": str(session.home / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(session.home / "aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def outside_env():
    """Returns the caller's environment without AWS settings, and with loopback excluded from proxies."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), "127.0.0.1,localhost"]))
    return env


def emulator_is_healthy(url, trusted=None):
    return is_healthy(f"{url}/_ministack/health", trusted) if url else False


def model_is_healthy(url):
    return is_healthy(f"{url}/__health") if url else False


def is_healthy(url, trusted=None):
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=trusted))
    # The address is always loopback, so no proxy is used.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def wait_for(condition, process):
    """Waits until `condition` is true. Returns False if the process ends or makes no progress."""
    ended = lambda: process.poll() is not None
    came = progress.wait(lambda: "came" if condition() else ended() and "ended", lambda: progress.worked(process), 0.05)
    return came == "came"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
