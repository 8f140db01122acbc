"""Deploys the template and the configuration of this checkout to the emulator."""

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


def stage_functions(folder=BUILT):
    """Packs the functions. `make deploy` puts the release builds into the same place, so that both use one template."""
    for name in FUNCTIONS:
        binary, package = folder / name, ROOT / "target" / "lambda" / name / "bootstrap.zip"
        if not binary.exists():
            raise Failed(f"{relative(binary)} is missing: run `make {'build' if folder == BUILT else 'released'}` first")
        built = os.stat(binary)
        # A package has the modification time of its binary. Seven stacks of `make test` use the same packages.
        if package.exists() and os.stat(package).st_mtime_ns == built.st_mtime_ns:
            continue
        package.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=package.parent.parent) as aside:
            # Renamed, because another deployment may be reading the old package.
            os.rename(packed(binary, built, pathlib.Path(aside) / package.name), package)


def packed(binary, built, package):
    bootstrap = zipfile.ZipInfo("bootstrap")
    bootstrap.external_attr = 0o755 << 16
    bootstrap.compress_type = zipfile.ZIP_DEFLATED
    # A low compression level is faster, and the size does not matter on this machine.
    with zipfile.ZipFile(package, "w", compresslevel=1) as archive:
        archive.writestr(bootstrap, binary.read_bytes(), compresslevel=1)
    os.utime(package, ns=(built.st_mtime_ns, built.st_mtime_ns))
    return package


def deploy(session, aws, bedrock_endpoint_url):
    """Deploys the stack and returns its outputs by name."""
    with phase("deploy") as note:
        # The option --resolve-s3 of sam would first deploy a stack for the bucket, which takes seconds.
        bucket = f"{STACK}-deploy"
        client("s3", aws).create_bucket(Bucket=bucket)
        parameters = {
            "Environment": ENVIRONMENT,
            "Architecture": ARCHITECTURE,
            "BedrockEndpointUrl": bedrock_endpoint_url,
            # Nobody listens. `bcce doctor` reports alarms that have no target.
            "AlarmTopicArn": f"arn:aws:sns:{REGION}:000000000000:{STACK}-alarms",
            # A further bucket that batches may read. A test that needs the bucket creates it.
            "BatchSources": f"arn:aws:s3:::{CORPUS},arn:aws:s3:::{CORPUS}/*",
            # In every client, the endpoints that are given here take precedence over FIPS endpoints.
            "FipsEndpoints": "on",
            # The emulator treats a Number parameter as a string, on which its poller fails. 0 leaves the setting out.
            "DispatchMaximumConcurrency": "0",
            # More than the tests start in parallel, so that no test waits for another. neighbours.rs reaches these
            # limits.
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
            # The directory that sam uses instead of ~/.aws-sam. `make setup` fills it.
            "__SAM_CLI_APP_DIR": str(VENV / "sam"),
            # The seconds between two polls of the changeset. The default of 5 exceeds the time of the whole deployment.
            # sam polls 120 times.
            "SAM_CLI_POLL_DELAY": "0.5",
            "TMPDIR": str(session.home / "tmp"),
        }
        failed = session.call("deploy", command, env)
        if failed:
            raise Failed(f"the deployment failed, its log ends with\n{tail(failed)}")
        note.append(f"stack {STACK}")
        stack = client("cloudformation", aws).describe_stacks(StackName=STACK)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        encrypt(outputs, aws)
        return outputs | {"WebhookUrl": here(outputs["WebhookUrl"], aws)}


def encrypt(outputs, aws):
    """Sets the default encryption of the bucket, which the emulator does not read from the template."""
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": outputs["ArtifactKeyArn"]}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": False}]}
    client("s3", aws).put_bucket_encryption(
        Bucket=outputs["ArtifactBucket"], ServerSideEncryptionConfiguration=rules
    )


def here(function_url, aws):
    """Returns the emulator's address of a function URL. The host name of the URL exists on AWS only."""
    identifier = urlsplit(function_url).hostname.split(".")[0]
    return f"{aws['AWS_ENDPOINT_URL']}/_aws/lambda-url/{identifier}/"


def push_config(session, env):
    config = ROOT / "infra" / "config" / ENVIRONMENT
    with phase("config") as note:
        command = [BUILT / "bcce", "--env", ENVIRONMENT, "config", "push", config]
        failed = session.call("config", command, outside_env() | env)
        if failed:
            raise Failed(f"the configuration was refused, the log ends with\n{tail(failed)}")
        note.append(relative(config))


def client(service, aws, **key):
    """Returns a boto3 client. The environment configures it: arguments would not override the user's profile."""
    import boto3  # not at the top: the import is slow, and `down` does not need it

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(outside_env() | aws)
    return boto3.client(service, **key)
