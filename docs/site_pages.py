"""Pages of the site that are no files of this folder: mkdocs calls these functions (``hooks`` in mkdocs.yml).

The README is the first page; changes, contributing, benchmarks and examples are pages, too, so that links from the
documentation lead to them in the site as in the repository.
"""

from __future__ import annotations

import importlib
import inspect
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
#: Files of the repository, and their pages.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
}
#: Modules whose public names have a page of the reference; the first is the package.
MODULES = (
    "adaptive_scheduler", "scheduler", "server_support", "client_support", "sweeps", "emews",
    "utils", "widgets", "errors",
)  # fmt: skip
#: What is shown besides, as public names inherit from it.
BESIDES = {
    "scheduler": {
        "PublicScheduler": "adaptive_scheduler.runs.compat.batch.public_scheduler.PublicScheduler"
    }
}
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
_FENCE = {".py": "python", ".sh": "bash", ".yaml": "yaml", ".md": "markdown"}


def on_config(config: Any) -> Any:
    """Put pages that mkdocs.yml does not name at the end of the how-tos."""
    named = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    folder = Path(config.docs_dir)
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}
    (guides,) = (section["How to"] for section in config.nav if "How to" in section)
    guides += sorted(name for name in written - named if not name.startswith("option_examples/"))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    texts = {page: (ROOT / name).read_text() for name, page in PAGES.items()}
    texts |= {"examples.md": examples()}
    texts |= {f"reference/{name}.md": reference(name) for name in MODULES}
    for page, text in texts.items():
        files.append(File.generated(config, page, content=text))
    notebook = (ROOT / "example.ipynb").read_text()
    files.append(File.generated(config, "example.ipynb", content=notebook))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to the pages of the site."""
    sources = {target: name for name, target in PAGES.items()}
    here = page.file.src_uri
    source = sources.get(here, f"docs/{here}")
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        part if part.startswith("```") else _LINK.sub(lambda link: _led(link, source, here), part)
        for part in parts
    )


def _led(link: re.Match[str], source: str, here: str) -> str:
    before, target, after = link.groups()
    if re.match(r"[a-z]+:", target):
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    found = in_site(path)
    if found is None:
        return link[0]
    page, _, anchor = found.partition("#")
    return f"{before}{posixpath.relpath(page, posixpath.dirname(here) or '.')}{f'#{anchor})' if anchor else after}"


def in_site(path: str) -> str | None:
    """Where a file of the repository is in the site; None if it is not."""
    if path in PAGES:
        return PAGES[path]
    if path == "example.ipynb":
        return path
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith("examples"):
        name = path.removeprefix("examples").strip("/").split("/")[0]
        return f"examples.md#{name.replace('.', '')}" if name else "examples.md"
    return None


def examples() -> str:
    """The page with all examples: a part for each program or folder."""
    blocks = ["# Examples", "All of them are in `examples`, and run as they stand."]
    for path in sorted((ROOT / "examples").iterdir()):
        if path.name.startswith(("_", ".")):
            continue
        blocks.append(f"## {path.name}")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        blocks += [block for one in inside for block in _shown(one, path)]
    return "\n\n".join(blocks)


def _shown(path: Path, example: Path) -> Iterator[str]:
    if path.is_file() and path.suffix in _FENCE:
        title = "" if path == example else f' title="{path.relative_to(example)}"'
        yield f"```{_FENCE[path.suffix]}{title}\n{path.read_text().rstrip()}\n```"


def reference(name: str) -> str:
    """The page of a module: what it says of itself, and each public name."""
    full = _module(name).__name__
    blocks = [f"# {full}", (_module(name).__doc__ or "").split("\n\n")[0].strip()]
    shown = {
        where: one for one in MODULES[: MODULES.index(name)] for where in public_names(one).values()
    }
    for public, where in [*public_names(name).items(), *BESIDES.get(name, {}).items()]:
        own = where.rpartition(".")[2]
        if where in shown or own != public:
            page = shown.get(where, name)
            blocks += [f"## {public} {{ #{public} }}", f"It is [`{own}`]({page}.md#{where})."]
        if where not in shown:
            blocks.append(f"::: {where}" if _is_ours(name, public) else _value(name, public, where))
        shown.setdefault(where, name)
    return "\n\n".join(blocks)


def _is_ours(name: str, public: str) -> bool:
    """Whether this package defines it; else it is a value of another one's class, such as a logger."""
    thing = getattr(_module(name), public, None)
    found = getattr(thing, "__module__", type(thing).__module__)
    return str(found).split(".")[0] in (MODULES[0], "builtins")


def _value(name: str, public: str, where: str) -> str:
    kind = type(getattr(_module(name), public))
    return f"## {public} {{ #{where} }}\n\nA `{kind.__module__.split('.')[0]}` object (`{kind.__qualname__}`)."


def public_names(name: str) -> dict[str, str]:
    """Public names of a module, but those of modules, and where each is defined."""
    things = {public: getattr(_module(name), public) for public in _module(name).__all__}
    return {
        public: f"{_home(thing) if _is_ours(name, public) else _module(name).__name__}"
        f".{getattr(thing, '__qualname__', public) if _is_ours(name, public) else public}"
        for public, thing in things.items()
        if _home(thing).startswith("adaptive_scheduler")  # a logger is no name of ours
        if not inspect.ismodule(thing)
    }


def _module(name: str) -> ModuleType:
    return importlib.import_module(name if name == MODULES[0] else f"{MODULES[0]}.{name}")


def _home(thing: Any) -> str:
    """The module in which a public name is defined; a value is beside its class."""
    found: str = getattr(thing, "__module__", type(thing).__module__)
    if inspect.isclass(thing) and thing.__qualname__ not in vars(importlib.import_module(found)):
        return "adaptive_scheduler.scheduler"  # made when it is asked for: SLURM and PBS
    return MODULES[0] if found == "builtins" else found
