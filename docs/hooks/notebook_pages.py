"""A hook of MkDocs: each notebook below `docs/` gets a page of the site, NAME-notebook, with its cells and outputs.

Links to a notebook, which a repository host renders itself, lead to that page.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages; the notebooks stay files of the site, to be downloaded."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        text = Path(str(file.abs_src_path)).read_text(encoding="utf-8")
        name = file.src_uri.removesuffix(".ipynb") + "-notebook.md"
        files.append(File.generated(config, name, content=notebook_markdown(text, Path(file.src_uri).name)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to notebooks to their pages, but not the link of a page to its own notebook."""
    return re.sub(r"\.ipynb\)(?!\{download\})", "-notebook.md)", markdown)


def notebook_markdown(text: str, name: str) -> str:
    """Return a notebook, given as its JSON, as Markdown; `name` is that of its file."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        printed = "".join("".join(output.get("text", "")) for output in cell["outputs"])
        if printed:
            parts.append(f"```text\n{printed.rstrip()}\n```")
    title, *rest = parts
    return "\n\n".join([title, f"Download: [{name}]({name}){{download}}", *rest]) + "\n"
