"""The house's guard: no circle among files or rooms, no arrow up, in C, Cython and Python.

    python tools/check/house.py            exit 1 with every offender, as FILE:LINE: imports X: why
    python tools/check/house.py --draw     the README's "The house"

Everything is computed from the sources. Which floor a room is on stands in one table, here; what a
room is for, in its own docstring or in the README above it.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

# From the ground up: a floor's name in drawings, and its rooms. A room imports from the floors
# below it, or from beside it.
FLOORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("1", ("cython_ext/core_build.py",)),
    ("1", ("cython_ext/core/base",)),
    ("1", ("cython_ext/core/format",)),
    ("1", ("cython_ext/core/text", "cython_ext/core/kernel")),
    ("1", ("cython_ext/core/model",)),
    ("1", ("cython_ext/core/patch", "cython_ext/core/link")),
    ("1", ("cython_ext/kernels", "cython_ext/device")),
    ("1", ("cython_ext/linux",)),
    ("1", ("bankai_edge/__init__.py", "bankai_edge/errors.py")),
    ("1", ("cython_ext/bind",)),
    ("1", ("bankai_edge", "bankai_edge/shipped")),
    ("2", ("bankai_edge/model", "bankai_edge/patch", "bankai_edge/host", "bankai_edge/boards")),
    ("3", ("bankai_edge/judge", "bankai_edge/probes")),
    ("4", ("bankai_edge/agent", "bankai_edge/search", "bankai_edge/bench",
           "bankai_edge/image", "bankai_edge/bundle")),
    ("5", ("bankai_edge/cli", "bankai_edge/__main__.py")),
    ("", ("firmware",)),
    ("", ("tools/check", "tools/make", "tools/nano", "tools/lab")),
    ("", ("tests/support", "tests/c")),
    ("", ("tests",)),
)  # fmt: skip
DATA = ("boards", "docs")  # no code
SOURCES = {".py", ".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".S"}
TOPS = ("cython_ext", "bankai_edge", "firmware", "tools", "tests")
SHARED = ("tests/support/", "tests/c/")
PLAN = "tools/check/house.py"
BUILT = {"__pycache__", ".pio", "node_modules"}
C_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
CYTHON = re.compile(
    r"""^\s*(?:from\s+([\w.]+)\s+c?import\s+(\w*)|c?import\s+([\w.]+)|include\s+["']([^"']+)["']"""
    r"""|cdef\s+extern\s+from\s+["']([^"'<>]+)["'])"""
)


@dataclass(frozen=True)
class Import:
    """One file names another, in a line of it."""

    file: str
    line: int
    target: str
    plug: bool = False  # several files have this name, and each build has one of them


@dataclass
class House:
    """The sources below `root`, and what each imports of the others."""

    root: Path
    floors: dict[str, int] = field(
        default_factory=lambda: {room: n for n, (_, rooms) in enumerate(FLOORS) for room in rooms}
    )

    @cached_property
    def files(self) -> list[str]:
        """Every source, as a path from the root."""
        return sorted(
            path.relative_to(self.root).as_posix()
            for top in TOPS
            for path in (self.root / top).rglob("*")
            if path.suffix in SOURCES and path.is_file() and not BUILT & set(path.parts)
        )

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """Files by their last name."""
        found: dict[str, list[str]] = {}
        for file in self.files:
            found.setdefault(PurePosixPath(file).name, []).append(file)
        return found

    @cached_property
    def packages(self) -> set[str]:
        """Folders of Python packages, whose modules are named in full."""
        return {str(PurePosixPath(file).parent) for file in self.by_name.get("__init__.py", [])}

    @cached_property
    def imports(self) -> list[Import]:
        """Every import of one file of the house by another."""
        found: dict[Import, None] = {}
        for file in self.files:
            for line, targets in self._imports_of(file):
                for target in targets:
                    if target != file:
                        found[Import(file, line, target, len(targets) > 1)] = None
        return list(found)

    def room(self, file: str) -> str | None:
        """The room that a file is in: the longest entry of the table that holds it."""
        places = (file, *map(str, PurePosixPath(file).parents))
        return next((place for place in places if place in self.floors), None)

    def folder(self, file: str) -> str:
        """What counts as one in a circle of folders; a file with a place of its own is itself."""
        return file if file in self.floors else str(PurePosixPath(file).parent)

    # ---- what a file names ------------------------------------------------------------------

    def _imports_of(self, file: str) -> Iterator[tuple[int, list[str]]]:
        text = (self.root / file).read_text(errors="replace")
        suffix = PurePosixPath(file).suffix
        if suffix in {".py", ".pyi"}:
            for node in ast.walk(ast.parse(text, file)):
                for names in _names(node, file):
                    yield getattr(node, "lineno", 1), self._module(file, *names)
            return
        for number, line in enumerate(text.splitlines(), 1):
            if suffix in {".c", ".h", ".S"}:
                match = C_INCLUDE.match(line)
                yield number, self._header(file, match[1]) if match else []
            elif match := CYTHON.match(line):
                module, name, whole, *quoted = match.groups()
                if module or whole:
                    names = (f"{module}.{name}", module) if module else (whole,)
                    yield number, self._module(file, *names)
                else:
                    yield number, self._header(file, quoted[0] or quoted[1])

    def _header(self, file: str, name: str) -> list[str]:
        """The files that a quoted include may mean: the one beside it, or what builds look for."""
        beside = str(PurePosixPath(file).parent / name)
        if beside in self._known:
            return [beside]
        return [f for f in self.by_name.get(PurePosixPath(name).name, []) if f.endswith(f"/{name}")]

    def _module(self, file: str, *names: str) -> list[str]:
        """The file of the first of these modules that is one: by its full name, or a program's."""
        here = PurePosixPath(file).parent
        for name in names:
            path = name.replace(".", "/")
            if name.partition(".")[0] in sys.stdlib_module_names:
                continue
            if path.rpartition("/")[2] not in self._stems:
                continue
            programs = [] if here.as_posix() in self.packages else self._program_folders
            for place in (here, *(PurePosixPath(folder) for folder in ("", *programs))):
                for tail in (".py", "/__init__.py", ".pxd", ".pyx"):
                    if f"{place / path}{tail}" in self._known:
                        return [f"{place / path}{tail}"]
            compiled = self.by_name.get(f"{PurePosixPath(path).name}.pyx", [])
            if compiled and name.startswith("bankai_edge."):
                return compiled
        return []

    @cached_property
    def _program_folders(self) -> list[str]:
        """Where programs and tests find modules by their last name."""
        folders = {str(PurePosixPath(f).parent) for f in self.files if f.endswith(".py")}
        return ["tests", *sorted(folders - self.packages - {"tests"})]

    @cached_property
    def _stems(self) -> set[str]:
        stems = {PurePosixPath(file).name.partition(".")[0] for file in self.files}
        return stems | {PurePosixPath(package).name for package in self.packages}

    @cached_property
    def _known(self) -> set[str]:
        return set(self.files)

    def sentence(self, room: str) -> str:
        """What a room is for: its docstring's first line, or its line in a README above."""
        for file in (room, f"{room}/__init__.py"):
            if file in self._known:
                text = ast.get_docstring(ast.parse((self.root / file).read_text())) or ""
                return text.partition("\n")[0].rstrip(".")
        for above in PurePosixPath(room).parents:
            readme = self.root / above / "README.md"
            name = re.escape(str(PurePosixPath(room).relative_to(above)))
            row = rf"^(?:\| `{name}/?` \| (.*?) \|$|#+ {name}/: (.*)$)"
            found = re.search(row, readme.read_text(), re.M) if readme.exists() else None
            if found:
                return str(found[1] or found[2])
        heading = (self.root / room / "README.md").read_text().partition("\n")[0]
        return heading.partition(": ")[2]

    def draw(self) -> list[str]:
        """Every room with its floor and its sentence, from the top; then what holds no code."""
        lines: list[tuple[str, str, str]] = []
        above = ""
        for floor, rooms in reversed(FLOORS):
            for room in rooms:
                if not room.endswith(".py"):
                    lines.append((floor if floor != above else "", f"{room}/", self.sentence(room)))
                    above = floor
        lines += [("", f"{folder}/", self.sentence(folder)) for folder in DATA]
        width = max(len(name) for _, name, _ in lines)
        return [
            f"    {floor:1}  {name:{width}}  {sentence}".rstrip() for floor, name, sentence in lines
        ]

    # ---- what may not be --------------------------------------------------------------------

    def offenders(self) -> list[str]:
        """One sentence for each."""
        return [*self._unknown(), *self._upward(), *self._circles()]

    def _unknown(self) -> Iterator[str]:
        for folder in sorted({self.folder(file) for file in self.files}):
            if self.room(folder) is None:
                yield f"{folder}: no room of the house: give it a floor in {PLAN}"
        names = {name for room in self.floors for name in room.split("/")}
        for room in self.floors:
            if not (self.root / room).exists():
                yield f"{room}: a room of {PLAN}, and not there"
        for folder in sorted({file.split("/")[1] for file in self.files if _is_test(file)}):
            if folder not in names:
                yield f"tests/{folder}: tests of no room of the house"

    def _upward(self) -> Iterator[str]:
        for it in self.imports:
            own, other = self.room(it.file), self.room(it.target)
            if own is None or other is None:
                continue
            if self.floors[own] < self.floors[other]:
                yield f"{it.file}:{it.line}: imports {it.target}: {other} is above {own}"
            elif _is_test(it.file) and _is_test(it.target):
                yield f"{it.file}:{it.line}: imports {it.target}: a test imports a test"

    def _circles(self) -> Iterator[str]:
        for what, name in (("files", str), ("rooms", self.folder)):
            first: dict[tuple[str, str], Import] = {}
            for it in self.imports:
                if not it.plug and name(it.file) != name(it.target):
                    first.setdefault((name(it.file), name(it.target)), it)
            for circle in circles(first):
                way = " > ".join([*circle, circle[0]])
                for pair in zip(circle, [*circle[1:], circle[0]], strict=True):
                    it = first[pair]
                    yield f"{it.file}:{it.line}: imports {it.target}: a circle of {what}: {way}"


def _is_test(file: str) -> bool:
    return file.startswith("tests/") and file.count("/") > 1 and not file.startswith(SHARED)


def _names(node: ast.AST, file: str) -> Iterable[tuple[str, ...]]:
    """What each name of an import statement may mean: modules, the likeliest first."""
    if isinstance(node, ast.Import):
        return [(alias.name,) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            folder = PurePosixPath(file).parents[node.level - 1]
            base = ".".join([*folder.parts, *([base] if base else [])])
        return [(f"{base}.{alias.name}", base) for alias in node.names]
    if (
        isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ):
        return [(str(node.args[0].value),)]
    return []


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """A shortest circle of each knot: mend it, and look again."""
    after: dict[str, list[str]] = {}
    for source, target in edges:
        after.setdefault(source, []).append(target)
    found: dict[frozenset[str], list[str]] = {}
    for start in sorted(after):
        ways = {start: [start]}  # the shortest from `start`
        queue = [start]
        for node in queue:
            for target in sorted(after.get(node, ())):
                if target == start:
                    found.setdefault(frozenset(ways[node]), ways[node])
                elif target not in ways:
                    ways[target] = [*ways[node], target]
                    queue.append(target)
            if start in after.get(node, ()):
                break
    chosen: list[list[str]] = []
    for knot in sorted(found.values(), key=len):
        if not any(set(knot) & set(other) for other in chosen):
            chosen.append(knot)
    return chosen


def main() -> int:
    """0: the house stands; 1: something in it does not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draw", action="store_true", help='print the README\'s "The house"')
    options = parser.parse_args()
    house = House(Path(__file__).resolve().parents[2])
    if options.draw:
        print(*house.draw(), sep="\n")
        return 0
    offenders = house.offenders()
    for offender in offenders:
        print(offender)
    print(f"{len(house.files)} files, {len(house.imports)} imports, {len(offenders)} offenders")
    return bool(offenders)


if __name__ == "__main__":
    sys.exit(main())
