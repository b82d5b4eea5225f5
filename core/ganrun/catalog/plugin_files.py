"""Plugin modules as files: found and read without importing them, or run from a file that is not installed."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import pkgutil
import sys
import traceback
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ganrun.catalog.attribution import described_error
from ganrun.errors import BrokenPlugin, PluginError
from ganrun.paths import resolved


def locate(module: str) -> Path | None:
    """The source file of a module, None if there is none.

    Imports nothing, unlike ``find_spec("a.b")``, which imports ``a``.
    """
    top, *rest = module.split(".")
    # An editable install may bring a finder of its own for top-level names, so every finder is asked.
    specs = (finder.find_spec(top, None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    spec = next((spec for spec in specs if spec is not None), None)
    full = top
    for name in rest:
        full = f"{full}.{name}"
        spec = _inside(list(spec.submodule_search_locations or ()), full) if spec else None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def _inside(folders: list[str], full: str) -> ModuleSpec | None:
    """The module ``full`` in one of the folders, or a namespace package out of several of them.

    PathFinder finds no namespace package inside a package that was not imported, so folders are asked one by one.
    """
    portions: list[str] = []
    for folder in folders:
        finder = pkgutil.get_importer(folder)
        spec = finder.find_spec(full, None) if finder is not None else None
        if spec is not None and spec.loader is not None:
            return spec
        portions += list((spec and spec.submodule_search_locations) or ())
    if not portions:
        return None
    namespace = ModuleSpec(full, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


def docstring(file: Path) -> str:
    """The docstring of a source file, "" if it has none or is not Python source. Raises SyntaxError and OSError."""
    if file.suffix != ".py":
        return ""
    source = file.read_bytes()
    if source.startswith(b'"""'):
        # Parsing the docstring alone is 20 times faster than the whole file; a listing reads about 100 of them.
        end = source.find(b'"""', 3)
        try:
            return ast.get_docstring(ast.parse(source[: end + 3])) or ""
        except SyntaxError:
            pass  # an escaped quote in the docstring: the whole file decides
    return ast.get_docstring(ast.parse(source, filename=str(file))) or ""


def first_line(text: str) -> str:
    """The first line of a docstring: the summary."""
    return text.strip().partition("\n")[0].strip()


def cause(error: BaseException) -> str:
    """One line: what went wrong, and in which file and line, as near to the author's code as can be said."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    own = [frame for frame in frames if not _is_machinery(frame.filename)]
    where = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    return f"{where}{described_error(error)}"


CORE = Path(__file__).parents[1]


def _is_machinery(filename: str) -> bool:
    folder = Path(filename).parent
    return CORE in folder.parents or folder == CORE or folder.name in {"importlib", "metadata", "pluggy"}


def sha256(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def run_file(file: Path) -> tuple[ModuleType, str]:
    """Run a plugin file that is not installed: its module, and the SHA-256 of exactly the bytes that were run.

    The module's name holds the hash, so that two files of one name, or two versions of one file, are two modules, and
    a file run twice is one. Raises :class:`PluginError` that names file and line.
    """
    try:
        source = file.read_bytes()
    except OSError as error:
        hint = "give the path of a Python file with a function ganrun_components"
        raise PluginError(f"{file}: cannot read this plugin: {error.strerror or error}; {hint}") from error
    digest = hashlib.sha256(source).hexdigest()
    stem = "".join(c if c.isalnum() else "_" for c in file.stem)
    place = hashlib.sha256(str(resolved(file)).encode() + source).hexdigest()[:12]
    name = f"ganrun_plugin_{stem}_{place}"
    if name in sys.modules:
        return sys.modules[name], digest
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(file))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(resolved(file))
    # Dataclasses, type hints and pickling look a module up here while its classes are made.
    sys.modules[name] = module
    try:
        if b"\0" in source:
            raise SyntaxError(
                "the file holds a NUL character", (str(file), source[: source.index(b"\0")].count(b"\n") + 1, 0, None)
            )
        exec(compile(source, str(file), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        beside = resolved(file).parent
        missing = str(error.name).partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        near = bool(missing) and (beside / f"{missing}.py").is_file()
        hint = f"; for the module that lies beside it, set PYTHONPATH={beside}" if near else ""
        raise BrokenPlugin(f"{cause(error)}; the plugin {file} cannot be imported{hint}") from error
    return module, digest
