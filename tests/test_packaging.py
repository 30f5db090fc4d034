"The three places of metadata, the README and the notebooks agree; nothing can unpickle."
import ast, configparser, re, subprocess, sys, tomllib
from importlib.metadata import distribution

import nbformat

from conftest import ROOT
from readme import readme


def settings():
    parser = configparser.ConfigParser(delimiters=["="])
    parser.read(ROOT/"settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def requirements():
    return {re.split("[<>=]", r)[0] for k, v in settings().items() if k.endswith("requirements") for r in v.split()}


def test_pyproject_names_what_settings_says():
    project = tomllib.loads((ROOT/"pyproject.toml").read_text())["project"]
    assert project["name"] == settings()["lib_name"]
    assert project["requires-python"] == ">=" + settings()["min_python"]


def test_setup_installs_what_settings_says():
    installed = distribution("ulmtweet")
    assert installed.version == settings()["version"]
    assert installed.metadata["Summary"] == settings()["description"]
    assert {e.name + "=" + e.value for e in installed.entry_points if e.group == "console_scripts"} == {settings()["console_scripts"]}
    required = {re.split(r"[<>=\[; ]", r)[0] for r in installed.requires}
    assert requirements() == required


def test_constraints_pin_every_requirement():
    pinned = dict(line.split("==") for line in (ROOT/"constraints.txt").read_text().split())
    assert requirements() <= set(pinned)
    assert pinned["torch"] == "2.13.0"


def test_readme_is_the_index_notebook():
    assert (ROOT/"README.md").read_text(encoding="utf-8") == readme(), "run `make readme`"


def test_every_module_has_a_notebook():
    exported = {re.search(r"#\|\s*default_exp (\w+)", p.read_text())[1] for p in (ROOT/"nbs").glob("[0-9]*.ipynb")}
    assert exported == {p.stem for p in (ROOT/"ulmtweet").glob("*.py") if not p.stem.startswith("_")}


def test_modules_import_only_from_lower_chapters():
    order = [re.search(r"#\|\s*default_exp (\w+)", p.read_text())[1] for p in sorted((ROOT/"nbs").glob("[0-9]*.ipynb"))]
    for name in order:
        tree = ast.parse((ROOT/"ulmtweet"/f"{name}.py").read_text())
        used = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level == 1}
        assert all(order.index(u) < order.index(name) for u in used), (name, used)


def test_notebooks_show_no_warnings_or_paths_of_a_machine():
    for path in (ROOT/"nbs").rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                assert output.get("name") != "stderr" and not re.search(r"site-packages|/home/|/tmp/|Warning:", str(output)), (path, output)


def test_nothing_can_unpickle():
    allowed = { # fastai's download is read by an unpickler that knows no classes, and by torch's restricted reader
        "bases.py": {"pickle", "class WordsOnly(pickle.Unpickler)", "pickle.UnpicklingError", "weights_only=True"}}
    for path in [ROOT/"app.py", *(ROOT/"ulmtweet").glob("*.py")]:
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found |= {a.name for a in node.names} | {getattr(node, "module", None)}
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                found |= {ast.unparse(k) for k in node.keywords if k.arg == "weights_only"} or {"torch.load"}
            if isinstance(node, ast.ClassDef) and [ast.unparse(o) for o in node.bases] == ["pickle.Unpickler"]:
                assert "find_class" in [f.name for f in node.body if isinstance(f, ast.FunctionDef) and isinstance(f.body[-1], ast.Raise)]
                found |= {f"class {node.name}(pickle.Unpickler)"}
            elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("pickle.") and ast.unparse(node) != "pickle.Unpickler":
                found |= {ast.unparse(node)}
        dangerous = {f for f in found if f and re.search("pickle|joblib|dill|load_learner|torch.load|weights_only", f)}
        assert dangerous <= allowed.get(path.name, set()), path
