"The three places of metadata, the README, the notebooks and the image agree; nothing can unpickle."
import ast, configparser, os, re, shlex, subprocess, sys, tomllib
from importlib.metadata import distribution

import nbformat
import pytest

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
    assert ({e.name + "=" + e.value for e in installed.entry_points if e.group == "console_scripts"}
            == {settings()["console_scripts"]})
    required = {re.split(r"[<>=\[; ]", r)[0] for r in installed.requires}
    assert requirements() == required


def test_constraints_pin_every_requirement():
    pinned = dict(line.split("==") for line in (ROOT/"constraints.txt").read_text().split())
    assert requirements() <= set(pinned)
    assert pinned["torch"] == "2.13.0"


def test_readme_is_the_index_notebook():
    assert (ROOT/"README.md").read_text(encoding="utf-8") == readme(), "run `make readme`"


def chapters():
    "Exported module and notebook of each chapter."
    found = {p.relative_to(ROOT/"nbs"): re.search(r"#\|\s*default_exp ([\w.]+)", p.read_text())
             for p in (ROOT/"nbs").rglob("*.ipynb")}
    return {match[1]: path for path, match in found.items() if match}


def modules():
    "The package's modules, by name; those that chapters export."
    names = {".".join(p.relative_to(ROOT/"ulmtweet").with_suffix("").parts): p for p in (ROOT/"ulmtweet").rglob("*.py")}
    return {name: p for name, p in names.items() if p.stem not in ("__init__", "_modidx")}


def imports(name, path):
    "Modules of the package that a module imports."
    folder = ["ulmtweet", *name.split(".")[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level: continue
        base = ".".join([*folder[:len(folder) - node.level + 1],
                         *filter(None, [node.module])]).removeprefix("ulmtweet").lstrip(".")
        yield from [base] if node.module else [f"{base}.{a.name}" for a in node.names]


def test_every_module_has_a_notebook():
    assert chapters().keys() == modules().keys()


def test_every_module_is_in_git():
    if not (ROOT/".git").exists(): pytest.skip("this is no clone")
    listed = subprocess.run(["git", "ls-files", "ulmtweet"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {path.relative_to(ROOT).as_posix() for path in modules().values()} <= set(listed.stdout.splitlines())


def test_a_folder_of_notebooks_is_a_folder_of_the_package():
    parts = {}
    for name, path in chapters().items(): parts.setdefault(name.rpartition(".")[0], set()).add(path.parent.name)
    assert parts == {"": {""}, "cli": {"7_doors"}, "page": {"7_doors"}} | {
        p.partition("_")[2]: {p} for p in ("1_data", "2_models", "3_generation", "4_training", "5_evaluation",
                                           "6_sharing")}


def test_a_part_imports_only_from_parts_before_it():
    notebooks, code = chapters(), modules()
    for name, path in code.items():
        for used in imports(name, path):
            assert used in code, (name, used)
            assert notebooks[used].parent <= notebooks[name].parent, f"{name} imports {used}, which is in a later part"


def test_no_module_needs_itself():
    needs, code, done = {name: set(imports(name, path)) for name, path in modules().items()}, modules(), set()
    while ready := {name for name in code if name not in done and needs[name] <= done}: done |= ready
    assert done == code.keys(), {name: needs[name] - done for name in code if name not in done}


def test_the_sidebar_has_every_notebook():
    listed = re.findall(r"[\w/]+\.ipynb", (ROOT/"nbs"/"sidebar.yml").read_text())
    assert sorted(listed) == sorted(p.relative_to(ROOT/"nbs").as_posix() for p in (ROOT/"nbs").rglob("*.ipynb"))
    order = [name for path in listed for name, chapter in chapters().items() if chapter.as_posix() == path]
    for name, path in modules().items():
        assert all(order.index(used) < order.index(name) for used in imports(name, path)), name


def test_notebooks_show_no_warnings_or_paths_of_a_machine():
    for path in (ROOT/"nbs").rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                assert (output.get("name") != "stderr"
                        and not re.search(r"site-packages|/home/|/tmp/|Warning:", str(output))), (path, output)


def dockerfile():
    "The instructions of the Dockerfile, each as its name and the rest."
    text = re.sub(r"^#.*\n", "", (ROOT/"Dockerfile").read_text(encoding="utf-8"), flags=re.M).replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]


def test_the_image_has_what_it_copies():
    ignored = (ROOT/".dockerignore").read_text(encoding="utf-8").split("\n")
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    copied = {name for kind, rest in dockerfile() if kind == "COPY" for name in rest.split()[:-1]}
    assert "*" in ignored and copied == let_in
    assert all((ROOT/name).exists() for name in copied), copied
    read_by_setup = re.findall(r'(?:read|Path)\("([\w.]+)"', (ROOT/"setup.py").read_text())
    assert read_by_setup and {*read_by_setup, "setup.py", "pyproject.toml", "app.py", "rooms", ".streamlit"} <= copied


def test_the_image_is_a_page_for_strangers():
    told = dockerfile()
    users = [rest for kind, rest in told if kind == "USER"]
    settings = dict(pair.split("=", 1) for kind, rest in told if kind == "ENV" for pair in shlex.split(rest))
    assert users and users[-1] not in ("root", "0")
    assert settings["ULMTWEET_PUBLIC"] == "1" and settings["STREAMLIT_SERVER_MAX_UPLOAD_SIZE"] == "0"
    assert settings["ULMTWEET_HOME"] in [rest for kind, rest in told if kind == "VOLUME"]
    assert dict(told)["ARG"].startswith("TORCH_INDEX=https://download.pytorch.org/whl/")
    assert "/_stcore/health" in dict(told)["HEALTHCHECK"]
    assert any(kind == "RUN" and "'.[transformers]'" in rest for kind, rest in told) # every kind of voice can be shown


def test_what_is_installed_holds_what_the_page_needs():
    packages = {p.parent.relative_to(ROOT).as_posix() for p in (ROOT/"ulmtweet").rglob("__init__.py")} # as setup finds
    files = {p.relative_to(ROOT) for p in (ROOT/"ulmtweet").rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {p.parent.as_posix() for p in files if p.suffix == ".py"} <= packages
    patterns = re.findall(r'"(assets/[*/]+)"', (ROOT/"setup.py").read_text())
    depth = {pattern.count("/") for pattern in patterns}
    assert all(p.parts[1] == "assets" and len(p.parts) - 2 in depth for p in files if p.suffix != ".py")
    for path in [ROOT/"app.py", *(ROOT/"rooms").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("ulmtweet."):
                assert ROOT.joinpath(*node.module.split(".")).with_suffix(".py").relative_to(ROOT) in files, node.module


def test_nothing_can_unpickle():
    allowed = { # fastai's download is read by an unpickler that knows no classes, and by torch's restricted reader
        "bases.py": {"pickle", "class WordsOnly(pickle.Unpickler)", "pickle.UnpicklingError", "weights_only=True"}}
    for path in [ROOT/"app.py", *(ROOT/"rooms").glob("*.py"), *(ROOT/"ulmtweet").rglob("*.py")]:
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found |= {a.name for a in node.names} | {getattr(node, "module", None)}
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                found |= {ast.unparse(k) for k in node.keywords if k.arg == "weights_only"} or {"torch.load"}
            if isinstance(node, ast.ClassDef) and [ast.unparse(o) for o in node.bases] == ["pickle.Unpickler"]:
                assert "find_class" in [f.name for f in node.body
                                        if isinstance(f, ast.FunctionDef) and isinstance(f.body[-1], ast.Raise)]
                found |= {f"class {node.name}(pickle.Unpickler)"}
            elif (isinstance(node, ast.Attribute) and ast.unparse(node).startswith("pickle.")
                  and ast.unparse(node) != "pickle.Unpickler"):
                found |= {ast.unparse(node)}
        dangerous = {f for f in found if f and re.search("pickle|joblib|dill|load_learner|torch.load|weights_only", f)}
        assert dangerous <= allowed.get(path.name, set()), path


@pytest.mark.parametrize("env, count", [({}, "1000"), (dict(GOMP_SPINCOUNT="5"), "5"),
                                        (dict(OMP_WAIT_POLICY="ACTIVE"), "None")])
def test_waiting_threads_leave_the_processor_to_others_unless_asked_otherwise(env, count):
    code = "import os, sys, ulmtweet; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    others = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], env=others | env, capture_output=True, text=True)
    assert done.stdout.split() == [count, "False"], done.stderr
