"""``rm-geo qgis``: install and package the QGIS plugin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rm_geo.cli.options import console_options

if TYPE_CHECKING:
    from rm_geo._util.console import Console
    from rm_geo.qgis.install import PluginStatus

F = TypeVar("F", bound=Callable[..., Any])


def profile_options(command: F) -> F:
    """Add the options that select a QGIS profile to a command.

    Parameters
    ----------
    command : callable
        Function of the command.

    Returns
    -------
    callable
        The function with the options.
    """
    command = click.option(
        "--profiles-path",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder of the profiles, as for QGIS's option of that name.",
    )(command)
    return click.option(
        "--profile", metavar="NAME", help="Profile of QGIS; the default one if not given."
    )(command)


@click.group()
def qgis() -> None:
    """Install the QGIS plugin, which runs rm_geo in this environment."""


@qgis.command("install")
@profile_options
@click.option(
    "--python",
    metavar="FILE",
    help="Interpreter for the worker; the one that runs this if not given.",
)
@click.option(
    "--enable/--no-enable",
    default=True,
    show_default=True,
    help="Have QGIS load the plugin at its next start.",
)
@console_options
def install_command(
    profile: str | None,
    profiles_path: Path | None,
    python: str | None,
    enable: bool,
    console: Console,
) -> None:
    """Install the plugin in QGIS and set this environment as its interpreter."""
    from rm_geo.qgis.bundle import plugin_files
    from rm_geo.qgis.install import install, status
    from rm_geo.qgis.profiles import choose_profiles

    files = plugin_files()
    found = []
    for chosen in choose_profiles(profile, profiles_path, create=True):
        install(chosen, files, python=python, enable=enable)
        found.append(status(chosen, files))
    lines = [line for one in found for line in _lines(one)]
    _show(
        found, [*lines, "Start QGIS (again): Processing > Toolbox > Radio maps (rm_geo)."], console
    )


@qgis.command("uninstall")
@profile_options
@console_options
def uninstall_command(profile: str | None, profiles_path: Path | None, console: Console) -> None:
    """Remove the plugin from QGIS."""
    from rm_geo.qgis.install import uninstall
    from rm_geo.qgis.profiles import choose_profiles

    removed = [p.name for p in choose_profiles(profile, profiles_path) if uninstall(p)]
    text = f"Removed from: {', '.join(removed)}" if removed else "The plugin was not installed."
    console.result({"removed": removed}, text)


@qgis.command("status")
@profile_options
@console_options
def status_command(profile: str | None, profiles_path: Path | None, console: Console) -> None:
    """Show where the plugin is installed, and whether it can run."""
    from rm_geo.qgis.bundle import plugin_files
    from rm_geo.qgis.install import status
    from rm_geo.qgis.profiles import choose_profiles

    files = plugin_files()
    found = [status(one, files) for one in choose_profiles(profile, profiles_path)]
    _show(found, [line for one in found for line in _lines(one)], console)


@qgis.command("package")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="FILE|DIR",
    help="The zip, or the folder that gets it; here if not given.",
)
@click.option(
    "--for-repository",
    is_flag=True,
    help="Check what the plugin repository of QGIS checks; refuse with all findings.",
)
@click.option(
    "--metadata",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File like metadata.txt with the owner's fields, those of the options below.",
)
@click.option("--author", metavar="TEXT", help="Author, in the metadata of the plugin.")
@click.option("--email", metavar="TEXT", help="Address to which the repository writes.")
@click.option("--homepage", metavar="URL", help="Web page of the project.")
@click.option("--tracker", metavar="URL", help="Where faults are reported.")
@click.option("--repository", metavar="URL", help="Where the source code is.")
@console_options
def package_command(
    output: Path,
    for_repository: bool,
    metadata: Path | None,
    console: Console,
    **owner: str | None,
) -> None:
    """Write the zip for QGIS's plugin manager and the plugin repository."""
    from rm_geo.qgis.bundle import plugin_files, write_zip
    from rm_geo.qgis.repository import read_owner, require_acceptable, with_owner

    files = with_owner(plugin_files(), {} if metadata is None else read_owner(metadata))
    files = with_owner(files, owner)
    if for_repository:
        require_acceptable(files)
    path = write_zip(output, files)
    console.result({"file": path, "files": len(files)}, f"{path}: {len(files)} files")


def _show(found: list[PluginStatus], lines: list[str], console: Console) -> None:
    """Show the state of each profile."""
    console.result({"profiles": [asdict(one) for one in found]}, "\n".join(lines))


def _lines(one: PluginStatus) -> list[str]:
    """Describe the plugin in a profile."""
    if one.version is None:
        return [f"Profile {one.profile}: not installed ({one.folder})"]
    state = "enabled" if one.is_enabled else "not enabled"
    lines = [
        f"Profile {one.profile}: version {one.version}, {state}",
        f"  folder       {one.folder}",
        f"  interpreter  {one.python}",
    ]
    return lines if one.problem is None else [*lines, f"  problem      {one.problem}"]
