"""Kill runs, or damage what a killed run left, run them again, and compare all files.

    python benchmarks/kill.py --kills 50      # at random times, of rm-geo predict as a process
    python benchmarks/kill.py --events        # before every file event of predict and others
    python benchmarks/kill.py --damage 200    # random damage to the journals of a killed run
    python benchmarks/kill.py --links         # a link in place of each path that a run ever uses

Each round kills a run with SIGKILL, once or repeatedly, until a run is complete. The files, hidden
ones included, must then be equal to those of an uninterrupted run. A file event is a call that
opens a file for writing, or that creates, renames or removes a file or folder; the runs are forked
from one process, so that each takes a fraction of a second.

Links lead to files and folders of somebody else, before a run starts, in the journal of a killed
run, or in the middle of a run. What they lead to must be unchanged; the run either refuses them or
writes all its files.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from rm_geo.errors import OutputError

# The run is slow enough that estimation is interrupted too, not only imports.
OPTIONS = (
    "--method",
    "idw",
    "--method-weight",
    "0.6",
    "--tile-size",
    "64",
    "--overlap",
    "16",
    "--reach",
    "30",
    "--batch-size",
    "3",
    "--crs",
    "EPSG:32633",
    "--quiet",
)

COMMANDS: Final = ("predict", "rasterize", "export")
"""What is killed at file events."""

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES: Final = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"})


@dataclass(frozen=True)
class KillOutcome:
    """Number and times of the kills, and the differences of the files."""

    killed: int
    moments_s: tuple[float, ...]
    whole_s: float
    identical: bool
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Rounds:
    """What all rounds share: a folder for outputs, the server and its input."""

    folder: Path
    server: ForkServer
    source: Path


@dataclass
class EventOutcome:
    """Number of kills or damages, and what was different afterwards."""

    rounds: int = 0
    kills: int = 0
    events: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


def write_drive(path: Path, side_m: float = 420.0) -> None:
    """Write measurements of two cells as CSV."""
    rng = np.random.default_rng(5)
    lines = ["x,y,rsrp,cell"]
    for cell in (7, 8):
        for street in np.arange(0.0, side_m, 45.0):
            along = np.arange(0.0, side_m, 1.5)
            for x, y in (
                (along, np.full_like(along, street)),
                (np.full_like(along, street), along),
            ):
                level = -60.0 - 20.0 * np.log10(1.0 + np.hypot(x - 90.0 * cell / 7, y) / 10.0)
                level += rng.normal(0.0, 3.0, x.size)
                lines += [
                    f"{500_000 + a:.2f},{5_400_000 + b:.2f},{c:.1f},{cell}"
                    for a, b, c in zip(x, y, level, strict=True)
                ]
    path.write_text("\n".join(lines) + "\n")


def start(drive: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start a run."""
    command = [sys.executable, "-m", "rm_geo", "predict", str(drive), "-o", str(output), *OPTIONS]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run and raise an error if it failed."""
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(errors.decode())


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files of a run, including hidden ones."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def differences(folder: Path, expected: dict[str, bytes]) -> list[str]:
    """Name the files of a run that are missing, further or different."""
    found = contents(folder)
    return [
        f"{folder.name}/{name}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def kill_run(folder: Path, kills: int, seed: int = 0, side_m: float = 420.0) -> KillOutcome:
    """Kill runs at random times until the number of kills is reached.

    Parameters
    ----------
    folder : Path
        Empty folder.
    kills : int
        Number of kills.
    seed : int
        Seed of the times.
    side_m : float
        Side of the area that is mapped.
    """
    moments = random.Random(seed)
    drive = folder / "drive.csv"
    write_drive(drive, side_m)
    begun = time.monotonic()
    finish(start(drive, folder / "whole"))
    whole_s = time.monotonic() - begun
    expected = contents(folder / "whole")
    killed: list[float] = []
    different: list[str] = []
    round_number = 0
    while len(killed) < kills:
        output = folder / f"round{round_number}"
        round_number += 1
        while True:
            process = start(drive, output)
            moment_s = moments.uniform(0.15, 1.05) * whole_s
            try:
                if len(killed) < kills:
                    process.wait(moment_s)
                finish(process)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                killed.append(moment_s)
        different += differences(output, expected)
    return KillOutcome(len(killed), tuple(killed), whole_s, not different, tuple(different))


class ForkServer:
    """A process that forks itself for each run, and kills the run before one of its file events.

    Use it as a context manager, on systems that can fork.
    """

    paths: Set[str] = frozenset()
    """Files and folders that the last run ever had in its output; folders end with a slash."""

    def __enter__(self) -> ForkServer:
        script = "from benchmarks.kill import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()

    def run(
        self,
        command: str,
        source: Path,
        output: Path,
        die_at: int | None = None,
        link: Sequence[str] | None = None,
    ) -> int | None:
        """Run a command in a fork.

        Parameters
        ----------
        command : str
            One of :data:`COMMANDS`.
        source, output : Path
            Input and output.
        die_at : int, optional
            Number of the file event, from 1, before which the run is killed.
        link : sequence of str, optional
            Name of a file or folder in the output, and what a link leads to that replaces it at
            that event, in place of the kill.

        Returns
        -------
        int or None
            Number of file events of a run that ended; None if it was killed.

        Raises
        ------
        OutputError
            If the run refused its output.
        RuntimeError
            If the run failed otherwise.
        """
        order = {
            "command": command,
            "source": str(source),
            "output": str(output),
            "at": die_at,
            "link": link,
        }
        self._process.stdin.write(json.dumps(order) + "\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        answer = json.loads(self._process.stdout.readline())  # type: ignore[union-attr]
        if answer["signal"] == signal.SIGKILL:
            return None
        self.paths = set(answer.get("paths", ()))
        if answer["error"].startswith("OutputError"):
            raise OutputError(answer["error"])
        if answer["events"] is None:
            raise RuntimeError(f"{order} failed: {answer['error']}")
        return int(answer["events"])


def serve() -> None:
    """Fork a run for each order on the standard input; the process of :class:`ForkServer`."""
    import rm_geo.pipeline.cell
    import rm_geo.planning.export
    import rm_geo.workflows.rasterize  # noqa: F401 - imported before the fork

    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reading)
            answer: dict[str, Any] = {"events": None, "error": ""}
            try:
                before = set(sys.modules)
                answer["events"], answer["paths"] = _counted(order)
                answer["modules"] = sorted(set(sys.modules) - before)
            except BaseException as error:
                answer["error"] = repr(error)
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(process, 0)
        answer = json.loads(text or b'{"events": null, "error": "no answer"}')
        for name in answer.pop("modules", ()):  # once here, and not in each fork
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        answer["signal"] = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        print(json.dumps(answer), flush=True)


def _counted(order: dict[str, Any]) -> tuple[int, list[str]]:
    """Run a command in this process; count its file events, and kill it or plant a link at one."""
    source, output = Path(order["source"]), Path(order["output"])
    events = 0
    paths: set[str] = set()
    is_watching = True

    def watch(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal events, is_watching
        is_open = name == "open" and bool(arguments[2] & _WRITING)
        if not is_watching or not (is_open or name in _CHANGES):
            return
        if not _is_inside(arguments[0], output):
            return
        events += 1
        if order["at"] is None:
            is_watching = False  # not of its own look at the folders
            paths.update(_paths_in(output))
            is_watching = True
        elif events == order["at"]:
            if order["link"] is None:
                os.kill(os.getpid(), signal.SIGKILL)
            is_watching = False
            plant(output, *order["link"])

    sys.addaudithook(watch)
    _ACTIONS[order["command"]](source, output)
    return events, sorted(paths)


def _paths_in(folder: Path) -> Iterator[str]:
    """List the files and folders in a folder; folders end with a slash."""
    for place, folders, files in os.walk(folder):
        inside = Path(place).relative_to(folder)
        yield from ((inside / name).as_posix() + "/" for name in folders)
        yield from ((inside / name).as_posix() for name in files)


def plant(output: Path, name: str, goal: str) -> None:
    """Replace a file or folder in an output by a link, as somebody who may write there can.

    Parameters
    ----------
    output : Path
        Output folder.
    name : str
        The file or folder; a folder ends with a slash.
    goal : str
        What the link leads to.
    """
    place = output / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.exists():
        place.rename(output.with_name(f"{output.name}-away"))
    place.symlink_to(goal, target_is_directory=name.endswith("/"))


def _is_inside(path: Any, output: Path) -> bool:
    """Whether an event concerns the output: by its path, or relative to an open folder."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return False
    text = os.fsdecode(path)
    return not Path(text).is_absolute() or text.startswith(str(output))


def _predict(source: Path, output: Path) -> None:
    from rm_geo.options import PredictOptions
    from rm_geo.pipeline import predict as module
    from rm_geo.pipeline import tile_pass

    tile_pass.MIN_KEPT_S = 0.0
    module.MIN_RESUMABLE_S = 0.0
    options = PredictOptions(
        method="nearest",
        assimilate=False,
        tile_size_px=32,
        overlap_px=8,
        reach_m=10.0,
        batch_size=2,
        crs="EPSG:32633",
        joint=False,
        preview=False,
    )
    module.predict(source, output, options)


def _rasterize(source: Path, output: Path) -> None:
    from rm_geo.options import PredictOptions
    from rm_geo.workflows.rasterize import rasterize_file

    rasterize_file(source, output, PredictOptions(reach_m=0.0, crs="EPSG:32633"))


def _export(source: Path, output: Path) -> None:
    from rm_geo.planning.export import export_map

    export_map(source.with_name("7_rsrp.tif"), output, "bil")


_ACTIONS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "predict": _predict,
    "rasterize": _rasterize,
    "export": _export,
}


@contextlib.contextmanager
def prepared(folder: Path) -> Iterator[Rounds]:
    """Start a server, and write the input of all commands into an empty folder."""
    from rm_geo.grid import Grid
    from rm_geo.io.cog import write_raster

    source = folder / "drive.csv"
    write_drive(source, 60.0)
    grid = Grid.create(500_000.0, 5_400_000.0, (20, 30), 1.0, 32633)
    levels = np.linspace(-120, -60, 600, dtype=np.float32).reshape(20, 30)
    write_raster(folder / "7_rsrp.tif", levels, grid, tags={"units": "dBm"})
    with ForkServer() as server:
        yield Rounds(folder, server, source)


def kill_at_events(rounds: Rounds, *, every: int = 1, seed: int = 0) -> EventOutcome:
    """Kill runs before each of their file events, and once more during the next run.

    Parameters
    ----------
    rounds : Rounds
        Of :func:`prepared`.
    every : int
        Kill at each event of this many only.
    seed : int
        Seed of the second kill.
    """
    outcome = EventOutcome()
    chosen = random.Random(seed)
    folder, server, source = rounds.folder, rounds.server, rounds.source
    for command in COMMANDS:
        whole = folder / f"{command}-whole"
        events = server.run(command, source, whole)
        assert events is not None
        outcome.events[command] = events
        expected = contents(whole)
        for number in range(1 + outcome.rounds % every, events + 1, every):
            output = folder / f"{command}-{number}"
            for at in (number, chosen.randint(1, events)):
                outcome.kills += server.run(command, source, output, at) is None
            server.run(command, source, output)
            print(f"{command} {number} of {events}", file=sys.stderr, end="\r")
            outcome.rounds += 1
            outcome.differences += differences(output, expected)
            shutil.rmtree(output)
    return outcome


def damage_journals(rounds: Rounds, number: int, seed: int = 0) -> EventOutcome:
    """Damage one file of the journals of a killed run in each round, and run it again.

    Parameters
    ----------
    rounds : Rounds
        Of :func:`prepared`.
    number : int
        Number of rounds.
    seed : int
        Seed of the damages.
    """
    outcome = EventOutcome()
    chosen = random.Random(seed)
    folder, server, source = rounds.folder, rounds.server, rounds.source
    events = server.run("predict", source, folder / "whole")
    assert events is not None
    expected = contents(folder / "whole")
    templates = []
    for share in (0.3, 0.6, 0.8):  # rows and estimates, and the result of the first cell
        templates.append(folder / f"killed-{share}")
        server.run("predict", source, templates[-1], int(share * events))
    for round_number in range(number):
        output = folder / f"round{round_number}"
        shutil.copytree(chosen.choice(templates), output)
        files = sorted(path for path in output.glob(".*-journal/**/*") if path.is_file())
        victim = chosen.choice(files)
        how = _damage(victim, files, chosen)
        server.run("predict", source, output)
        outcome.rounds += 1
        outcome.differences += [
            f"{victim.relative_to(output)} {how}: {name}" for name in differences(output, expected)
        ]
        shutil.rmtree(output)
    return outcome


def plant_links(rounds: Rounds, *, most: int | None = None, seed: int = 0) -> EventOutcome:
    """Plant a link in place of each path that a run uses: before, between and during runs.

    Parameters
    ----------
    rounds : Rounds
        Of :func:`prepared`.
    most : int, optional
        Number of links, chosen at random; all if not given.
    seed : int
        Seed of the choice.
    """
    outcome = EventOutcome()
    chosen = random.Random(seed)
    folder, server, source = rounds.folder, rounds.server, rounds.source
    todo: list[tuple[str, str, int | None]] = []
    expected: dict[str, dict[str, bytes]] = {}
    for command in COMMANDS:
        events = server.run(command, source, folder / f"{command}-whole")
        assert events is not None
        outcome.events[command] = events
        expected[command] = contents(folder / f"{command}-whole")
        names = sorted({*server.paths, *_paths_in(folder / f"{command}-whole")})
        todo += [(command, name, None) for name in names]
        todo += [
            (command, name, chosen.randint(1, events))
            for name in names
            if name.count("/") - name.endswith("/") == 0  # others lie in private folders
        ]
    killed = folder / "killed"
    server.run("predict", source, killed, outcome.events["predict"] * 3 // 4)
    todo += [("killed", name, None) for name in sorted(_paths_in(killed))]
    for command, name, at in todo if most is None else chosen.sample(todo, most):
        output = folder / "output"
        others = folder / "others"
        _write_others(others, name)
        goal = str(others / ("folder" if name.endswith("/") else "file"))
        before = contents(others)
        if command == "killed":
            shutil.copytree(killed, output)
        if at is None:
            plant(output, name, goal)
        runs = "predict" if command == "killed" else command
        with contextlib.suppress(OutputError):
            server.run(runs, source, output, at, None if at is None else (name, goal))
            if at is None:
                outcome.differences += differences(output, expected[runs])
        outcome.rounds += 1
        if contents(others) != before:
            outcome.differences.append(f"{command} followed {name} at {at}")
        for left in (output, others, folder / "output-away"):
            if left.is_dir():
                shutil.rmtree(left)
            left.unlink(missing_ok=True)
    return outcome


def _write_others(folder: Path, name: str) -> None:
    """Write files of somebody else, under names that a run uses itself."""
    (folder / "folder" / "files").mkdir(parents=True)
    (folder / "folder" / "staging").mkdir()
    (folder / "file").write_text("precious")
    names = (Path(name).name, "files/photo.jpg", "bands.txt", "manifest.txt", "staging/7_rsrp.tif")
    for inside in names:
        if not (folder / "folder" / inside).is_dir():
            (folder / "folder" / inside).write_text("precious")


def _damage(victim: Path, files: list[Path], chosen: random.Random) -> str:
    """Damage a file in a random way, and name the way."""
    content = bytearray(victim.read_bytes())
    place = chosen.randrange(len(content) + 1)
    how = chosen.choice(["bit", "cut", "insert", "digit", "other", "twice", "deep", "gone"])
    if how == "bit" and content:
        content[place % len(content)] ^= 1 << chosen.randrange(8)
    elif how == "cut":
        del content[place:]
    elif how == "insert":
        content[place:place] = chosen.randbytes(chosen.randint(1, 40))
    elif how == "digit":
        digits = [at for at, byte in enumerate(content) if chr(byte).isdigit()]
        for at in chosen.sample(digits, min(1, len(digits))):
            content[at] = ord(str((int(chr(content[at])) + 1) % 10))
    elif how == "other":
        content = bytearray(chosen.choice(files).read_bytes())
    elif how == "twice":
        content = content + content
    elif how == "deep":
        content = bytearray(b"[" * 100_000)
    victim.write_bytes(bytes(content))
    if how == "gone":
        victim.unlink()
    return how


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--events", action="store_true")
    parser.add_argument("--damage", type=int, default=0)
    parser.add_argument("--links", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        if chosen.events or chosen.damage or chosen.links:
            with prepared(folder) as rounds:
                if chosen.events:
                    outcome = kill_at_events(rounds, seed=chosen.seed)
                elif chosen.damage:
                    outcome = damage_journals(rounds, chosen.damage, chosen.seed)
                else:
                    outcome = plant_links(rounds, seed=chosen.seed)
            print(f"{outcome.rounds} rounds, {outcome.kills} kills, events {outcome.events}")
            print("\n".join(outcome.differences) or "all files identical")
            sys.exit(bool(outcome.differences))
        killed = kill_run(folder, chosen.kills, chosen.seed)
    print(
        f"{killed.killed} kills between {min(killed.moments_s):.1f} and "
        f"{max(killed.moments_s):.1f} s of a run of {killed.whole_s:.1f} s: "
        + ("all files identical" if killed.identical else f"DIFFERENT: {killed.differences}")
    )
    sys.exit(not killed.identical)


if __name__ == "__main__":
    main()
