"""Every command of every page is one that its program takes; make and rlgen for studies and settings that there are."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import dropwhile, groupby

import pytest
import typer
from tests.pages import ALL, KINDS, ROOT, blocks, commands, kinds

from rlgen_k8s.cli import app
from rlgen_k8s.study.load import load_study

OF_OTHERS = {"base64", "buildah", "cd", "cosign", "cp", "export", "git", "go", "grype", "skopeo", "syft", "trivy"}
VERBS = {
    "helm": {"history", "install", "rollback"},
    "kubectl": {"apply", "auth", "create", "delete", "describe", "exec", "get", "label", "port-forward", "rollout"},
}


def check(line: str) -> None:
    """Raise where the command would be refused before it does anything."""
    for several in simple(line):
        check_simple(several)


def simple(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, apart from what is set for it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for between, words in groupby(lexer, key=lambda word: not word.strip("();<>|&")):
        if not between:
            yield list(dropwhile(lambda word: "=" in word, words))


def check_simple(words: list[str]) -> None:
    match words:
        case ["rlgen" | ".venv/bin/rlgen", *arguments]:
            check_rlgen(arguments)
        case ["make", *arguments]:
            for recipe in dry_run(*arguments):
                if recipe.startswith((".venv/bin/rlgen", "platform/", "images/")):
                    check(recipe)
        case ["helm" | "kubectl" as program, *arguments]:
            named = arguments[2:] if arguments[:1] == ["-n"] else arguments
            assert named and named[0] in VERBS[program], f"{program} {named[:1]}: not known"
        case [program, *_] if "/" in program:
            assert os.access(ROOT / program, os.X_OK), f"{program}: no such program"
        case [program, *_]:
            assert program in OF_OTHERS, f"{program}: not known"


def check_rlgen(arguments: list[str]) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    *before, last = arguments
    if last == "--help":  # click would print it
        assert set(before) <= set(group.commands), f"rlgen {before}: no such command"
        return
    context = group.make_context("rlgen", [*arguments], resilient_parsing=True)
    name, command, rest = group.resolve_command(context, arguments)
    assert command is not None, f"rlgen {name}: no such command"
    given = command.make_context(name, rest).params
    study = given.get("study")
    if study and study.islower():
        load_study(study, given.get("set_"))


@cache
def dry_run(*arguments: str) -> list[str]:
    """What `make` would do."""
    done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make {' '.join(arguments)}: {done.stderr}"
    return done.stdout.splitlines()


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_are_commands(page):
    found = commands(page)
    for line in found:
        try:
            check(line)
        except Exception as error:
            raise AssertionError(f"{page.name}: {line}: {error}") from error


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_says_how_it_is_tested_and_is_whole(page):
    assert set(kinds(page)) <= KINDS
    for kind in KINDS:
        for block in blocks(page, kind) if kind.startswith("sh") else ():
            done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block}\n{done.stderr}"


def test_the_pages_have_commands():
    assert sum(len(commands(page)) for page in ALL) > 150


@pytest.mark.parametrize(
    "line",
    [
        "rlgen plann tiny",
        "rlgen plan tinny",
        "rlgen plan tiny --unitl sft",
        "rlgen plan tiny --set grpo.rolouts=8",
        "rlgen logs",
        "make imagess",
        "make plan WF=full-qwen26",
        "platform/nothing",
        "make install | platform/nothing",
        "kubectl -n rlgen lsit pods",
        "helm -n rlgen rolback rlgen",
        "frobnicate",
    ],
)
def test_what_is_none_is_noticed(line):
    with pytest.raises(BaseException):  # noqa: B017 (click's own errors are no common kind)
        check(line)
