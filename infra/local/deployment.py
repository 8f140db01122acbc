"""The template and the configuration of this checkout, put onto an emulator."""

import os
import pathlib
import platform
import tempfile
import zipfile
from urllib.parse import urlsplit

from checkout import BUILT, ENVIRONMENT, ROOT, STACK, VENV, Failed, phase, relative, tail
from servers import REGION, outside_env

FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/Cargo.toml"))
CORPUS = "bcce-corpus"
ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), "x86_64")


def stage_functions():
    """Where `make deploy` puts the release builds too, so that one template fits both."""
    for name in FUNCTIONS:
        binary, package = BUILT / name, ROOT / "target" / "lambda" / name / "bootstrap.zip"
        if not binary.exists():
            raise Failed(f"{relative(binary)} is missing: run `make build` first")
        built = os.stat(binary)
        # A package is as old as its binary. Seven stacks of `make test` take the same ones.
        if package.exists() and os.stat(package).st_mtime_ns == built.st_mtime_ns:
            continue
        package.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=package.parent.parent) as aside:
            # Renamed into place: another deploy may be reading the old one.
            os.rename(packed(binary, built, pathlib.Path(aside) / package.name), package)


def packed(binary, built, package):
    bootstrap = zipfile.ZipInfo("bootstrap")
    bootstrap.external_attr = 0o755 << 16
    bootstrap.compress_type = zipfile.ZIP_DEFLATED
    # Nothing is saved by making it small: it goes no further than this machine.
    with zipfile.ZipFile(package, "w", compresslevel=1) as archive:
        archive.writestr(bootstrap, binary.read_bytes(), compresslevel=1)
    os.utime(package, ns=(built.st_mtime_ns, built.st_mtime_ns))
    return package


def deploy(session, aws, bedrock_endpoint_url):
    """Returns the stack's outputs by name."""
    with phase("deploy") as note:
        # sam's own --resolve-s3 deploys a stack for its bucket first, which takes seconds.
        bucket = f"{STACK}-deploy"
        client("s3", aws).create_bucket(Bucket=bucket)
        parameters = {
            "Environment": ENVIRONMENT,
            "Architecture": ARCHITECTURE,
            "BedrockEndpointUrl": bedrock_endpoint_url,
            # A further bucket that batches may read from; whoever needs it creates it.
            "BatchSources": f"arn:aws:s3:::{CORPUS},arn:aws:s3:::{CORPUS}/*",
            # The endpoints that are given here go first, in every client.
            "FipsEndpoints": "on",
            # The emulator takes a Number parameter for a string, and its poller then stumbles over it.
            "DispatchMaximumConcurrency": "0",
            # More than tests start side by side, so that none waits for another. The flood in neighbours.rs fills them.
            "TenantMaximumRuns": "1000",
            "TenantMaximumBatchItems": "10000",
        }
        command = [VENV / "bin" / "sam", "deploy", "--template-file", ROOT / "infra" / "template.yaml"]
        command += ["--stack-name", STACK, "--s3-bucket", bucket, "--region", REGION]
        # CloudFormation requires the second one for a template that has a transform (SAM's) and nested stacks.
        command += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
        command += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
        command += ["--no-progressbar", "--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
        env = outside_env() | aws | {
            "SAM_CLI_TELEMETRY": "0",
            # Where sam keeps what it would write to ~/.aws-sam; `make setup` fills it.
            "__SAM_CLI_APP_DIR": str(VENV / "sam"),
            # Seconds between looks at the changeset; by default 5, longer than all the rest takes. sam looks 120 times.
            "SAM_CLI_POLL_DELAY": "0.5",
            "TMPDIR": str(session.home / "tmp"),
        }
        failed = session.call("deploy", command, env)
        if failed:
            raise Failed(f"the deployment failed, its log ends with\n{tail(failed)}")
        note.append(f"stack {STACK}")
        stack = client("cloudformation", aws).describe_stacks(StackName=STACK)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        return outputs | {"WebhookUrl": here(outputs["WebhookUrl"], aws)}


def here(function_url, aws):
    """A function's public address is a host name that only AWS knows; the emulator has it on its own port."""
    identifier = urlsplit(function_url).hostname.split(".")[0]
    return f"{aws['AWS_ENDPOINT_URL']}/_aws/lambda-url/{identifier}/"


def push_config(session, env):
    config = ROOT / "infra" / "config" / ENVIRONMENT
    with phase("config") as note:
        command = [BUILT / "bcce", "--env", ENVIRONMENT, "config", "push", config]
        failed = session.call("config", command, outside_env() | env)
        if failed:
            raise Failed(f"the configuration was not taken:\n{tail(failed)}")
        note.append(relative(config))


def client(service, aws, **key):
    """Set up by the environment: arguments would not keep boto3 from the user's profile."""
    import boto3  # not at the top: `down` does without, and it takes a while

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(outside_env() | aws)
    return boto3.client(service, **key)
