"README.md is the index notebook as Markdown: `make readme` writes it, test_packaging.py checks it."
import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parent.parent


def readme() -> str:
    nb = nbformat.read(ROOT/"nbs"/"index.ipynb", as_version=4)
    for cell in nb.cells:
        if cell.source.startswith("#| echo: false"): # show what it prints, not how
            cell.update(cell_type="markdown", source="```\n" + "".join(o.text for o in cell.outputs) + "```")
    text, _ = MarkdownExporter().from_notebook_node(nb)
    text = re.sub(r"\]\((?=images/|tutorials/|\d_)", "](nbs/", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


if __name__ == "__main__":
    print(readme(), end="")
