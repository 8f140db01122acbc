"""Checks the language of this repository: `make prose`.

    prose.py check                        everything below, on this checkout; exit code 1 with a line for each finding
    prose.py openings [DIRECTORY...]      the share of doc comments that open on a fragment, here or elsewhere
    prose.py openings --list [DIRECTORY]  each of them

What is checked:

- Doc comments of Rust code open on a subject or a verb: at most LIMIT of them on a word of openings.txt.
- The glossary has at most TERMS terms.
- Links in Markdown lead to a file and a heading that exist, and files that it names in code exist.
- Lines of Markdown have at most WIDTH characters, except in tables and code.
- No text has a word of the last column of docs/glossary.md: Markdown outside of code, comments and
  strings of Rust, comments of Python, YAML and make, comments and errors of state machines, descriptions of templates.
"""

import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs/glossary.md"
# The share of doc comments that may open on a fragment.
LIMIT = 0.03
# Characters of a line of Markdown.
WIDTH = 100
# Terms of the glossary: more of them nobody remembers.
TERMS = 40

# The folders of this repository whose files documentation names by their path.
FOLDERS = {"crates", "cli", "functions", "infra", "statemachines", "events", "tests", "docs", "bench", "simulation", "fuzz"}

Text = tuple[int, str]  # a line number, from 1, and what stands there


def openings(words: set[str], directories: list[pathlib.Path]) -> tuple[int, list[str]]:
    """The number of doc comments below the directories, and `<file>:<line>: <first line>` of those that are fragments."""
    total, fragments = 0, []
    for directory in directories:
        for path in rust_files(directory):
            for line, text in doc_comments(path.read_text(errors="replace")):
                total += 1
                if first_word(text) in words:
                    fragments.append(f"{path}:{line}: {text}")
    return total, fragments


def rust_files(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in directory.rglob("*.rs") if "target" not in path.relative_to(directory).parts)


def doc_comments(source: str) -> Iterator[Text]:
    """The first line with text of each `///` and `//!` comment."""
    inside, pending = None, False
    for number, line in enumerate(source.splitlines(), 1):
        found = re.match(r"\s*//([/!])(?!/) ?(.*)", line)
        if not found:
            inside = None
            continue
        kind, text = found.groups()
        pending = (pending if kind == inside else True)
        inside = kind
        if pending and text.strip():
            pending = False
            yield number, text


def first_word(text: str) -> str:
    found = re.match(r"[A-Za-z]+(?![-\w])", text)
    return found.group() if found else ""


def listed(path: pathlib.Path) -> set[str]:
    return {line for line in path.read_text().splitlines() if line and not line.startswith("#")}


def broken_links(path: pathlib.Path) -> Iterator[Text]:
    """Links of a Markdown file to files or headings that do not exist. Addresses of the web are not looked at."""
    for number, line in prose_lines(path.read_text()):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, heading = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.exists():
                yield number, f"the link leads to {target}, which does not exist"
            elif heading and heading not in headings(file):
                yield number, f"the link leads to {target}, but {file.name} has no such heading"


def missing_files(path: pathlib.Path, root: pathlib.Path = ROOT) -> Iterator[Text]:
    """Files below `root` that a Markdown file names in code, such as `tests/prose/prose.py`, and that do not exist."""
    for number, line in prose_lines(path.read_text()):
        for name in re.findall(r"`([\w.-]+/[\w./-]+)(?:::\w+)?`", line):
            if name.split("/")[0] in FOLDERS and not (root / name).exists():
                yield number, f"the file {name} does not exist"


def headings(path: pathlib.Path) -> set[str]:
    """The anchors that GitHub makes of a file's headings."""
    anchors: set[str] = set()
    for _, line in prose_lines(path.read_text()):
        if found := re.match(r"#+ (.*)", line):
            text = re.sub(r"[^\w\- ]", "", found.group(1).lower()).replace(" ", "-")
            again = (f"{text}-{n}" for n in range(1, 100))
            anchors.add(text if text not in anchors else next(anchor for anchor in again if anchor not in anchors))
    return anchors


def prose_lines(markdown: str) -> Iterator[Text]:
    """The lines of a Markdown text outside of fenced code."""
    fence = False
    for number, line in enumerate(markdown.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fence = not fence
        elif not fence:
            yield number, line


def long_lines(path: pathlib.Path) -> Iterator[Text]:
    for number, line in prose_lines(path.read_text()):
        if len(line) > WIDTH and not line.startswith("|"):
            yield number, f"the line has {len(line)} characters, at most {WIDTH} are allowed"


def terms(glossary: str) -> dict[str, list[str]]:
    """The terms of the glossary's first table, each with the words that it takes the place of."""
    found: dict[str, list[str]] = {}
    for _, line in prose_lines(glossary):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            if found:
                break
        elif cells[0] != "term" and not set(cells[0]) <= set("-: "):
            found[cells[0]] = [word.strip() for word in cells[-1].split(",") if word.strip()]
    return found


def refused_words(glossary: str) -> dict[str, str]:
    """The words of the last column of the glossary, each with the term that takes its place."""
    return {word: term for term, words in terms(glossary).items() for word in words}


def words_found(texts: Iterator[Text], instead: dict[str, str]) -> Iterator[Text]:
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, instead)) + r")\b", re.IGNORECASE)
    for number, text in texts:
        for word in pattern.findall(text):
            yield number, f'"{word}" is not used here, see "{instead[word.lower()]}" in docs/glossary.md'


def texts_of(path: pathlib.Path) -> Iterator[Text]:
    """What people read in a file, by its kind."""
    content = path.read_text(errors="replace")
    if path.suffix == ".md":
        for number, line in prose_lines(content):
            yield number, re.sub(r"`[^`]*`", "", line)
    elif path.suffix == ".rs":
        yield from matching(content, r'^\s*//+!?(.*)|\s//\s(.*)|"((?:[^"\\]|\\.)*)"')
    elif path.name.endswith(".asl.json"):
        yield from matching(content, r'"(?:Comment|Cause)"\s*:\s*"(.*)"')
    elif path.suffix in (".yaml", ".yml") and path.parent == ROOT / "infra":
        yield from matching(content, r"^\s*#(.*)|\s#\s(.*)|^\s*(?:Alarm|Short)?Description:(.*)")
    elif path.suffix in (".py", ".sh", ".yaml", ".toml") or path.name == "Makefile":
        yield from matching(content, r"^\s*#(.*)|\s#\s(.*)")


def matching(content: str, pattern: str) -> Iterator[Text]:
    for number, line in enumerate(content.splitlines(), 1):
        for groups in re.findall(pattern, line):
            yield number, groups if isinstance(groups, str) else "".join(groups)


def tracked() -> list[pathlib.Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def check() -> list[str]:
    findings = []
    total, fragments = openings(listed(ROOT / "tests/prose/openings.txt"), [ROOT])
    if len(fragments) > LIMIT * total:
        findings.append(f"{share(total, fragments)}, at most {LIMIT:.0%} are allowed: `prose.py openings --list` names them")
    if (count := len(terms(GLOSSARY.read_text()))) > TERMS:
        findings.append(f"docs/glossary.md has {count} terms, at most {TERMS} are allowed")
    instead = refused_words(GLOSSARY.read_text())
    for path in tracked():
        found = [] if path == GLOSSARY or "tests/prose" in str(path) else list(words_found(texts_of(path), instead))
        if path.suffix == ".md":
            found += [*broken_links(path), *missing_files(path), *long_lines(path)]
        findings += [f"{path.relative_to(ROOT)}:{number}: {what}" for number, what in sorted(found)]
    return findings


def share(total: int, fragments: list[str]) -> str:
    return f"{len(fragments)} of {total} doc comments ({len(fragments) / max(total, 1):.1%}) open on a fragment"


def main(arguments: list[str]) -> int:
    match arguments:
        case ["check"]:
            findings = check()
            print("\n".join(findings) or "the language check found nothing")
            return 1 if findings else 0
        case ["openings", *rest]:
            directories = [pathlib.Path(name) for name in rest if name != "--list"] or [ROOT]
            total, fragments = openings(listed(ROOT / "tests/prose/openings.txt"), directories)
            print("\n".join([*(fragments if "--list" in rest else []), share(total, fragments)]))
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
