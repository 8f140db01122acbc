"""Finds the commands for `sam` and `aws` in the Makefile and the documentation, and parses them with these programs.

No account is needed, because no request is sent.
"""

import contextlib
import inspect
import io
import logging
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from unittest import mock

from checkout import ROOT, VENV

DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
# The comments of these files quote whole commands. Other comments may only name one, such as `sam deploy`.
COMMENTED = [ROOT / "samconfig.toml", *sorted(ROOT.glob("infra/*.yaml"))]
OPERATORS = set("();<>|&\n")


@dataclass(frozen=True)
class Given:
    """A command line and its location."""

    where: str
    words: tuple

    def __str__(self):
        return f"{self.where}: {shlex.join(self.words)}"


def documented():
    """Yields each command of each code block, and each command in backticks."""
    for path in DOCUMENTS:
        name, text = path.relative_to(ROOT), path.read_text()
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            yield from commands_in(block, f"{name}")
        yield from quoted(text, name)
    for path in COMMENTED:
        comments = "\n".join(re.findall(r"#(.*)", path.read_text()))
        yield from quoted(comments, path.relative_to(ROOT))


def quoted(text, name):
    """Yields each command in backticks. A name such as `aws` or `sam deploy` alone is not a command."""
    for line in re.findall(r"(?<!`)`((?:aws|sam|make) [^`\n]*)`(?!`)", text):
        # A command with a placeholder, such as `ENV=<section>`, cannot be parsed.
        if "<" not in line and (len(shlex.split(line)) > 2 or line.startswith("make ")):
            yield from commands_in(line, f"{name}")


def commands_in(text, where):
    """Yields the simple commands of a shell script, without the variables that are set before them."""
    # The lexer would remove the end of the line together with a comment.
    text = re.sub(r"(^|\s)#[^\n]*", r"\1", text.replace("\\\n", " "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split = " \t", True
    words = []
    for word in [*lexer, ";"]:
        if set(word) <= OPERATORS:
            if words:
                yield Given(where, tuple(words))
            words = []
        elif words or not re.match(r"[A-Za-z_]+=", word):
            words.append(word)


def of_make(given):
    """Yields the commands for `sam` and `aws` that a `make` command would run."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--dry-run", "--silent", *given.words[1:]]
    printed = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert printed.returncode == 0, f"{given}: {printed.stderr}"
    for command in commands_in(printed.stdout, f"{given.where}, {shlex.join(given.words)}"):
        command = Given(command.where, run_by_another(command.words))
        if program(command.words) in ("sam", "aws"):
            yield command


def run_by_another(words):
    """Returns the command after `-- env A=b`, which infra/concurrency.py runs, or `words` if there is none."""
    if "--" not in words or words[words.index("--") + 1 :][:1] != ("env",):
        return words
    behind = words[words.index("--") + 2 :]
    named = [not re.match(r"[A-Za-z_]+=", word) for word in behind]
    return behind[named.index(True) :]


def program(words):
    """Returns the name of the program, such as `sam` for `.venv/bin/sam deploy`."""
    return words[0].rsplit("/")[-1]


def parsed_by_sam(words):
    """Returns the parameters that `sam deploy` or `sam validate` parses, by name."""
    os.environ.update({"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(VENV / "sam")})
    with contextlib.chdir(ROOT), quiet():
        # Not at the top: the import takes a second, and sets the encoding of the current output.
        from samcli.cli.main import cli
        from samcli.commands.deploy import command as deploy
        from samcli.commands.validate import validate

        module = {"deploy": deploy, "validate": validate}.get(words[1])
        assert module, f"`sam {words[1]}` is not supported by this test: add its module"
        with mock.patch.object(module, "do_cli", autospec=True) as understood:
            cli.main(list(words[1:]), prog_name="sam", standalone_mode=False)
    bound = inspect.signature(module.do_cli).bind(*understood.call_args.args, **understood.call_args.kwargs)
    return bound.arguments


class Refusal:
    """A stand-in for every response of AWS."""

    status_code = 400
    headers = {}


def parsed_by_aws(words):
    """Returns the calls that `aws` would make (operation and parameters), and its output. Makes no call."""
    from awscli.clidriver import create_clidriver

    given, valid = {}, []

    def take(model, params, **_):
        given[model.name] = params

    # At this point, `aws` has validated the parameters with the model of the service.
    def refuse(model, **_):
        valid.append((model.name, given[model.name]))
        # With this error, `aws` creates the stack instead of updating it.
        message = f"Stack with id {given[model.name].get('StackName')} does not exist"
        return Refusal, {"Error": {"Code": "ValidationError", "Message": message}, "ResponseMetadata": {}}

    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    nowhere["AWS_DEFAULT_REGION"] = "us-east-1"
    with mock.patch.dict(os.environ, nowhere), made_before(words), quiet() as said:
        driver = create_clidriver()
        driver.session.register("provide-client-params", take)
        driver.session.register("before-call", refuse)
        with contextlib.suppress(SystemExit):
            driver.main([expanded(word) for word in words[1:]])
        said.seek(0)
        return valid, said.read()


@contextlib.contextmanager
def made_before(words):
    """Changes to a folder with the files of the checkout, and with the files that the documentation creates first."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for path in ROOT.iterdir():
            os.symlink(path, path.name)
        for word in words:
            if word.startswith("fileb://") and word.endswith(".zip"):
                zipfile.ZipFile(word.removeprefix("fileb://"), "w").close()
            elif word.startswith("file://") and word.endswith(".txt"):
                pathlib.Path(word.removeprefix("file://")).write_text("secret")
            elif word.endswith(".jsonl") and "/" not in word:
                pathlib.Path(word).touch()
        yield


@contextlib.contextmanager
def quiet():
    # A file instead of a StringIO, because sam sets the encoding of its output.
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    logging.disable()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yield said
    finally:
        logging.disable(logging.NOTSET)


def expanded(word):
    """Replaces shell variables, such as `$QUEUE_URL`, `$ROLE_ARN` or `$BUCKET`, by values of the same form."""

    def value(match):
        name = match[1].lower().replace("_", "-")
        if name.endswith("-url"):
            return f"https://example.com/{name}"
        return f"arn:aws:iam::123456789012:role/{name}" if name.endswith("-arn") else name

    return re.sub(r"\$([A-Z_]+)", value, word)
