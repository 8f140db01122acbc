"""The command lines that the Makefile and the documentation give to `sam` and `aws`, found and parsed by those programs
themselves, without an account: nothing is sent."""

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
# A comment may name a command, such as `sam deploy`; these say how to call it.
COMMENTED = [ROOT / "samconfig.toml", *sorted(ROOT.glob("infra/*.yaml"))]
OPERATORS = set("();<>|&\n")


@dataclass(frozen=True)
class Given:
    """A command line, and where it stands."""

    where: str
    words: tuple

    def __str__(self):
        return f"{self.where}: {shlex.join(self.words)}"


def documented():
    """Each command of each code block, and each that stands in backticks."""
    for path in DOCUMENTS:
        name, text = path.relative_to(ROOT), path.read_text()
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            yield from commands_in(block, f"{name}")
        yield from quoted(text, name)
    for path in COMMENTED:
        comments = "\n".join(re.findall(r"#(.*)", path.read_text()))
        yield from quoted(comments, path.relative_to(ROOT))


def quoted(text, name):
    """A name alone (`aws`) or the name of an operation (`sam deploy`) is a word of the sentence."""
    for line in re.findall(r"(?<!`)`((?:aws|sam|make) [^`\n]*)`(?!`)", text):
        # `ENV=<section>` is no command yet.
        if "<" not in line and (len(shlex.split(line)) > 2 or line.startswith("make ")):
            yield from commands_in(line, f"{name}")


def commands_in(text, where):
    """The simple commands of a shell's text, without what is set before them."""
    # A comment would take the end of its line along.
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
    """What `make` would run of `sam` and `aws` for it."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--dry-run", "--silent", *given.words[1:]]
    printed = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert printed.returncode == 0, f"{given}: {printed.stderr}"
    for command in commands_in(printed.stdout, f"{given.where}, {shlex.join(given.words)}"):
        command = Given(command.where, run_by_another(command.words))
        if program(command.words) in ("sam", "aws"):
            yield command


def run_by_another(words):
    """The command that a program runs after `-- env A=b`, as infra/concurrency.py does; else the words as they are."""
    if "--" not in words or words[words.index("--") + 1 :][:1] != ("env",):
        return words
    behind = words[words.index("--") + 2 :]
    named = [not re.match(r"[A-Za-z_]+=", word) for word in behind]
    return behind[named.index(True) :]


def program(words):
    """`sam` of `.venv/bin/sam deploy`."""
    return words[0].rsplit("/")[-1]


def parsed_by_sam(words):
    """What `sam deploy` or `sam validate` understands, by the names of its parameters."""
    os.environ.update({"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(VENV / "sam")})
    with contextlib.chdir(ROOT), quiet():
        # Not at the top: it takes a second, and sets the encoding of the output at hand.
        from samcli.cli.main import cli
        from samcli.commands.deploy import command as deploy
        from samcli.commands.validate import validate

        module = {"deploy": deploy, "validate": validate}.get(words[1])
        assert module, f"what `sam {words[1]}` understands is not looked at yet"
        with mock.patch.object(module, "do_cli", autospec=True) as understood:
            cli.main(list(words[1:]), prog_name="sam", standalone_mode=False)
    bound = inspect.signature(module.do_cli).bind(*understood.call_args.args, **understood.call_args.kwargs)
    return bound.arguments


class Refusal:
    """What stands in for every answer of AWS."""

    status_code = 400
    headers = {}


def parsed_by_aws(words):
    """The calls that `aws` would make, each its operation and its parameters, and what it says. It makes none."""
    from awscli.clidriver import create_clidriver

    given, valid = {}, []

    def take(model, params, **_):
        given[model.name] = params

    # The parameters have been compared with the service's model by now.
    def refuse(model, **_):
        valid.append((model.name, given[model.name]))
        # So that a stack is created, and not looked for.
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
    """A folder that has what lies in the checkout, and an archive or a text where the documentation makes one first."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for path in ROOT.iterdir():
            os.symlink(path, path.name)
        for word in words:
            if word.startswith("fileb://") and word.endswith(".zip"):
                zipfile.ZipFile(word.removeprefix("fileb://"), "w").close()
            elif word.startswith("file://") and word.endswith(".txt"):
                pathlib.Path(word.removeprefix("file://")).write_text("secret")
        yield


@contextlib.contextmanager
def quiet():
    # A file and no StringIO: sam sets the encoding of its output.
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    logging.disable()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yield said
    finally:
        logging.disable(logging.NOTSET)


def expanded(word):
    """Something that fits in the place of a variable of the shell: `$QUEUE_URL`, `$ROLE_ARN`, `$BUCKET`."""

    def value(match):
        name = match[1].lower().replace("_", "-")
        if name.endswith("-url"):
            return f"https://example.com/{name}"
        return f"arn:aws:iam::123456789012:role/{name}" if name.endswith("-arn") else name

    return re.sub(r"\$([A-Z_]+)", value, word)
