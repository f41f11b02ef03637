"""The links, code blocks and commands of a Markdown page, and the faults in them."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import yaml
from plugged_in import forgotten

from benchmarks.config.data_lists import FAMILIES
from benchmarks.config.keys import flatten, get_config
from benchmarks.config.plugins import import_plugins
from benchmarks.config.protocol_file import is_path, protocols
from benchmarks.core.checkout import ROOT
from methods.base.errors import MethodError
from methods.framework.recipes import parse
from methods.networks import NETWORKS

PYTHONS = (".venv/bin/python", "python3", "python")
TOOLS = (".venv/bin/ruff", ".venv/bin/mypy")
OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
KEY = re.compile(r"\b[A-Z_]+(?:\.[A-Z_0-9]+)+\b")
BLOCK = re.compile(
    r"^(?:<!-- not checked: ([\w, -]+); [^>]+ -->\n)?(?:<!-- not run: ([\w, ./-]+); [^>]+ -->\n)?```(\w*)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
WHAT_FOR = "say why in place: <!-- not checked: PROGRAM; REASON --> before the block"


class Block(NamedTuple):
    """A code block.

    Attributes:
        left_out: programs in it that a comment before it says are not checked.
        not_run: scripts and modules in it that a comment says no test executes.
    """

    language: str
    text: str
    left_out: tuple[str, ...]
    not_run: tuple[str, ...]


def blocks(text: str) -> list[Block]:
    """All code blocks of a page."""
    return [
        Block(language, content, _listed(left_out), _listed(not_run))
        for left_out, not_run, language, content in BLOCK.findall(text)
    ]


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def pages() -> list[Path]:
    """All pages of the checkout that are written for readers."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])


def broken_links(page: Path) -> list[str]:
    """Relative links, and anchors of pages, that lead to nothing."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists():
            found.append(f"{target}: leads to nothing")
        elif anchor and anchor not in _anchors(file.read_text(encoding="utf-8")):
            found.append(f"{target}: no such heading")
    return found


def _anchors(text: str) -> set[str]:
    """What headings of a page are called in links, as GitHub does it."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def own_files(text: str) -> dict[str, str]:
    """The files that a page shows whole, by name: blocks whose first line is a comment with nothing but that."""
    named = re.compile(r"# ([\w-]+\.(?:py|yaml))\n")
    return {match[1]: block.text for block in blocks(text) if (match := named.match(block.text))}


def faults(text: str) -> list[str]:
    """What is wrong with the code blocks and inline commands of a page."""
    with TemporaryDirectory() as folder:
        for name, content in own_files(text).items():
            Path(folder, name).write_text(content, encoding="utf-8")
        return _faults(text, Path(folder))


def _faults(text: str, folder: Path) -> list[str]:
    found = []
    for block in blocks(text):
        skipped = set()
        if block.language in ("bash", "sh"):
            for words in commands(block.text):
                if words[0] in block.left_out:
                    skipped.add(words[0])
                elif fault := command_fault(words, folder):
                    found.append(f"{shlex.join(words)}: {fault}")
            found += [f"{name}: said to be not checked, and not there" for name in {*block.left_out} - skipped]
        elif fault := _content_fault(block):
            found.append(fault)
    for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", text)):
        if code.startswith(tuple(f"{python} " for python in PYTHONS)):
            found += [f"{code}: {fault}" for words in commands(code) if (fault := command_fault(words, folder))]
    return found


def _content_fault(block: Block) -> str:
    try:
        if block.language == "yaml":
            yaml.safe_load(block.text)
        elif block.language == "python":
            ast.parse(block.text)
    except (yaml.YAMLError, SyntaxError) as error:
        return f"{block.language}: {error}"
    return "" if block.language in ("", "yaml", "python") else f"{block.language}: {WHAT_FOR}"


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell text, without comments; of a loop those inside."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= {";", "&"}:
                if words and words[0] not in ("for", "done"):
                    yield words
                words = []
            elif word not in ("do", "--") or (words and word != "--"):
                words.append(word)
            elif word == "--" and words:  # what follows is a command of its own
                yield words
                words = []


def command_fault(words: list[str], folder: Path = ROOT) -> str:
    """What is wrong with a command; "" where nothing is. Plug-ins lie in the folder, or else in the checkout."""
    if words[0] in TOOLS:
        return ""
    if words[0] not in PYTHONS:
        return f"{words[0]} is no command of ours: {WHAT_FOR}"
    if words[1] == "-m":
        script, rest, there = (words[1], words[2]), words[3:], importlib.util.find_spec(words[2]) is not None
    else:
        script, rest, there = (words[1],), words[2:], (ROOT / words[1]).is_file()
    if not there:
        return "no such script"
    if script[-1] == "pytest":
        return "".join(
            f"no such file: {word}" for word in rest if word.startswith("tests") and not (ROOT / word).exists()
        )
    options = [word.split("=")[0] for word in rest if OPTION.fullmatch(word.split("=")[0])]
    if options and (unknown := [each for each in options if each not in _options(script)]):
        return f"--help knows no {', '.join(unknown)}"
    named = [plugin for word, plugin in pairwise(rest) if word == "--plugin"]
    with forgotten():
        import_plugins([str(folder / name if (folder / name).is_file() else ROOT / name) for name in named])
        known = {*flatten(get_config()), *FAMILIES}
        if wrong := [key for key in KEY.findall(" ".join(rest)) if key not in known]:
            return f"no such key: {', '.join(wrong)}"
        return _value_fault(dict(pairwise(rest)))


def _value_fault(given: dict[str, str]) -> str:
    try:
        for method in (given.get("--methods") or given.get("--method") or given.get("--host", "dacs")).split(","):
            parse(method)
    except MethodError as error:
        return str(error)
    if (network := given.get("--network")) and network not in NETWORKS:
        return f"unknown network {network}"
    protocol = given.get("--protocol", "streets")
    return "" if is_path(protocol) or protocol in protocols() else f"unknown protocol {protocol}"


@cache
def _options(script: tuple[str, ...]) -> set[str]:
    """The options that a command's help names."""
    wide = {**os.environ, "COLUMNS": "200"}
    ended = subprocess.run([sys.executable, *script, "--help"], cwd=ROOT, env=wide, capture_output=True, text=True)
    assert ended.returncode == 0, (script, ended.stderr)
    return set(OPTION.findall(ended.stdout))
