"""The documentation against the code: commands, options, column names, files and drawing."""

import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from rm_geo.cli.group import rm_geo
from rm_geo.io.tables import column_roles

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        REPOSITORY / "README.md",
        REPOSITORY / "benchmarks" / "results" / "results.md",
        *(
            page
            for page in (REPOSITORY / "docs").rglob("*.md")
            if not {"_build", "generated"} & set(page.parts)
        ),
    ]
)
ROLES = {
    role.name: role for role in vars(column_roles).values() if isinstance(role, column_roles.Role)
}
FORMATS = (REPOSITORY / "docs" / "reference" / "formats.md").read_text("utf-8")


def shell_commands():
    """Commands of rm-geo in the shell blocks of all pages, with continuation lines joined."""
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.strip(), comments=True)
                if words[:1] == ["rm-geo"]:
                    yield pytest.param(words[1:], id=f"{page.stem}: {' '.join(words)[:70]}")


def inline_options():
    """Options that the text mentions, such as ``--reach``."""
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", text):
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", code):
                yield page.name, option


def all_options(command, ctx=None):
    """All options of a command and its subcommands."""
    ctx = click.Context(command)
    found = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            found |= all_options(command.get_command(ctx, name))
    return found


@pytest.mark.parametrize("words", list(shell_commands()))
def test_commands_in_the_pages_exist_with_their_options(words):
    command, words = rm_geo, list(words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        command = command.get_command(click.Context(command), name)
        assert command is not None, name
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    known |= {"-h", "--help", "--version", "-V"}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)}
    assert used <= known


def test_options_in_the_text_exist():
    known = all_options(rm_geo) | {"--help"}
    # Options of other programs that the pages mention.
    known |= {"--nproc-per-node", "--noversioncheck", "--constraint"}
    known |= {"--recipe", "--source", "--maps", "--out", "--gains", "--grey", "--simulate"}
    known |= {"--transmitters", "--only", "--minutes", "--test", "--kills", "--upgrade"}
    known |= {"--form", "--seeds", "--precision", "--picture"}  # training.ablation, publish
    known |= {"--events", "--links", "--damage"}  # benchmarks/kill.py
    known |= {"--worker"}  # benchmarks/load.py
    unknown = sorted({(page, option) for page, option in inline_options() if option not in known})
    assert not unknown


def documented_names():
    """Names of columns in the table of formats.md, with their role and rank."""
    table = FORMATS.partition("recognised names, by rank")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        quantity, _, names = (cell.strip() for cell in row.strip("|").split("|"))
        for part in re.split(r";\s*(?=\d\.)", names):
            rank, _, listed = part.partition(". ")
            for name in re.findall(r"`([^`]+)`", listed):
                yield quantity, int(rank) - 1, name


def test_documented_options_are_those_of_the_quantities():
    table = FORMATS.partition("recognised names, by rank")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        quantity, option, _ = (cell.strip(" `") for cell in row.strip("|").split("|"))
        if option != "site tables":
            parameter = ROLES[quantity].parameter
            assert option == "--" + parameter.replace("_", "-"), quantity


def test_documented_quantities_are_all_that_are_recognised():
    documented = {quantity for quantity, _, _ in documented_names()}
    assert documented == set(ROLES)
    for role in ROLES.values():
        ranks = {rank for quantity, rank, _ in documented_names() if quantity == role.name}
        assert ranks == set(range(len(role.patterns))), role.name


@pytest.mark.parametrize(("quantity", "rank", "name"), list(documented_names()))
def test_documented_column_names_are_recognised_at_their_rank(quantity, rank, name):
    role = ROLES[quantity]
    ranks = [
        r
        for r, pattern in enumerate(role.patterns)
        if column_roles.candidates([name], role, pattern)
    ]
    assert ranks[:1] == [rank]


@pytest.mark.parametrize(
    "name", re.findall(r"`([^`]+)`", FORMATS.partition("Never taken")[2].partition("\n\n")[0])
)
def test_documented_refusals_are_refused(name):
    assert not column_roles.is_named(name, column_roles.RSRP)


def test_files_that_the_architecture_page_names_exist():
    text = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    table = text.partition("## Where is what")[2].partition("\n## ")[0]
    missing = []
    for row in table.splitlines():
        paths = re.findall(r"`((?:rm_geo|qgis_plugin)/[^`]*)`", row)
        missing += [path for path in paths if not (REPOSITORY / path).exists()]
    assert not missing


def test_architecture_drawing_shows_the_import_contract_and_the_docstrings(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "docs" / "_ext")
    monkeypatch.delitem(sys.modules, "architecture_diagram", raising=False)
    import architecture_diagram

    committed = (REPOSITORY / "docs" / "images" / "architecture.svg").read_text("utf-8")
    assert committed == architecture_diagram.drawing(), (
        "Draw it again: python docs/_ext/architecture_diagram.py"
    )
