"""What help and documents show of the command line is what it takes."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from docs.blocks import FILES, ROOT, command_in, commands_of
from stellwerk.cli.main import app


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Go through the commands that do something."""
    if hasattr(command, "commands"):
        for name, part in command.commands.items():
            yield from commands(part, (*path, name))
    else:
        yield " ".join(path), command


ROOT_COMMAND = typer.main.get_command(app)
COMMANDS = dict(commands(ROOT_COMMAND, ("stellwerk",)))


def parse(words: list[str]) -> None:
    """Hold the words after `stellwerk` against the command line. Raises what would be printed."""
    command, words = ROOT_COMMAND, list(words)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    if not hasattr(command, "commands"):
        command.make_context("stellwerk", words)


def examples_of(command: Any) -> list[str]:
    """Return the examples of a command's help, each after the word `Example:`."""
    _, *found = inspect.cleandoc(command.help or "").split("Example: ")
    return [" ".join(example.split("\n\n")[0].split()) for example in found]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_has_an_example_that_it_takes(name: str) -> None:
    examples = examples_of(COMMANDS[name])
    assert examples, f"`{name} --help` shows no example"
    for example in examples:
        words = command_in(example)
        assert words is not None, example
        parse(words)
    assert any(f"{name} " in f"{example} " for example in examples), examples


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_command_that_a_document_shows_exists_with_its_options(file: Path) -> None:
    faults = []
    for line, words in commands_of(file):
        try:
            parse(words)
        except Exception as fault:
            faults.append(f"{file.name}:{line}: stellwerk {' '.join(words)}: {fault}")
    assert not faults, "\n".join(faults)
