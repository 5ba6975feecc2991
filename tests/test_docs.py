"""README.md and docs/: links, examples, commands and generated pages are right and complete."""

import csv
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from io import StringIO
from itertools import chain
from pathlib import Path

import pytest
from running import FEW, QUICK, read_summary, run_command

import nncore
from pipeline.runs.summary import empty_summary

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *(path for path in DOCS.glob("**/*.md") if "_build" not in path.parts)])
IDENTITIES = [str(path.relative_to(ROOT)) for path in PAGES]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def examples(language: str) -> list[tuple[str, str]]:
    """The blocks of a language on all pages, each with the page it is from."""
    return [
        (name, block)
        for path, name in zip(PAGES, IDENTITIES, strict=True)
        for block in re.findall(
            rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
    ]


PYTHON = examples("python")
LEARNING = [(name, code) for name, code in PYTHON if "from nncore" in code and not re.search("runs/|-> Metric", code)]
(OWN_METRIC,) = [(name, code) for name, code in PYTHON if "-> Metric" in code]
OF_A_SWEEP = [(name, code) for name, code in PYTHON if "from nnsweep import sweep" in code]
OF_ESTIMATORS = [(name, code) for name, code in PYTHON if "SweepClassifier(" in code]
OF_A_RUN = [(name, code) for name, code in PYTHON if "runs/" in code]


def run_example(code: str, folder: Path) -> str:
    completed = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_the_readme_is_short():
    assert len(text("README.md").encode()) <= 8192


def test_every_python_example_is_of_a_known_kind():
    assert len(LEARNING) == 2
    assert sorted([*LEARNING, *OF_A_RUN, *OF_A_SWEEP, *OF_ESTIMATORS, OWN_METRIC]) == sorted(PYTHON)


def test_the_metric_of_a_package_ranks_the_trials_as_the_page_says(tmp_path):
    page, code = OWN_METRIC
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").write_text(code)
    (command,) = (block for name, block in examples("bash") if name == page and "select.metric" in block)
    settings = shlex.split(command)[1:]
    run_command(tmp_path, *settings, *FEW, *QUICK)
    summary = read_summary(tmp_path)
    assert summary["metric"]["label"] == "cost of errors"
    (leaderboard,) = tmp_path.glob("runs/*/*/leaderboard.csv")
    scores = [
        float(row["validation/cost_of_errors"])
        for row in csv.DictReader(StringIO(leaderboard.read_text()))
        if row["rank"]
    ]
    assert scores == sorted(scores)
    assert scores[0] == summary["best"]["validation"]["cost_of_errors"]["mean"]
    assert max(scores) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("page", "code"), LEARNING, ids=[name for name, _ in LEARNING])
def test_an_example_of_nncore_runs_and_learns(page, code, tmp_path):
    completed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(completed.stdout.split()[-1]) > 0.9
    assert completed.stderr == ""
    if page == "README.md":
        (stated,) = re.findall(r"prints `(.+) 0\.\d+\.\.\.`", text("README.md"))
        assert completed.stdout.startswith(f"{stated} ")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "code"), OF_A_SWEEP, ids=[name for name, _ in OF_A_SWEEP])
def test_an_example_that_sweeps_a_frame_runs(page, code, tmp_path):
    printed = run_example(code, tmp_path)
    assert "rank" in printed
    assert len(printed.rpartition("[")[2].strip("]\n ").split()) == 5  # predictions


@pytest.mark.slow
@pytest.mark.parametrize(("page", "code"), OF_ESTIMATORS, ids=[name for name, _ in OF_ESTIMATORS])
def test_an_example_of_an_estimator_runs(page, code, tmp_path):
    printed = run_example(code, tmp_path)
    assert "optimizer.learning_rate" in printed
    assert len(printed.rpartition("[")[2].strip("]\n ").split()) == 5  # predictions


@pytest.mark.slow
@pytest.mark.parametrize(("page", "code"), OF_A_RUN, ids=[name for name, _ in OF_A_RUN])
def test_an_example_that_uses_the_model_of_a_run_runs(page, code, tmp_path, main_job):
    """In a folder that looks as it does after the default sweep."""
    if "onnxruntime" in code:
        pytest.importorskip("onnxruntime")
        settings = ["execution=local", "tracking=none", "report=none", "onnx=true", "training.epochs=1", "output=quiet"]
        subprocess.run([sys.executable, "-m", "pipeline", *settings], cwd=tmp_path, check=True, capture_output=True)
        (folder,) = tmp_path.glob("runs/digits/*/")
        code = re.sub(r"runs/digits/[\w-]+", str(folder.relative_to(tmp_path)), code)
    else:
        (tmp_path / "runs").symlink_to(main_job.folder / "runs")
    run_example(code, tmp_path)


@pytest.mark.parametrize("path", PAGES, ids=IDENTITIES)
def test_every_relative_link_leads_to_a_file(path):
    page = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", page):
        if not re.match(r"\w+:", link):
            file, _, anchor = link.partition("#")
            assert (path.parent / file).exists(), link
            if anchor:
                headings = re.findall(r"^#+ (.+)$", (path.parent / file).read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, link


def test_every_page_is_in_a_table_of_contents():
    listed = {DOCS / "index.md"}
    for path in PAGES:
        for block in re.findall(
            r"^```\{toctree\}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            listed |= {path.parent / f"{line}.md" for line in block.splitlines() if line and not line.startswith(":")}
    assert listed == {path for path in PAGES if path.is_relative_to(DOCS)}


def test_every_script_that_a_page_names_is_there():
    for path in PAGES:
        for name in re.findall(r"\bscripts/[\w.]*[^\W_](?![\w*])", path.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{path}: {name}"


def test_every_module_that_a_page_names_is_there():
    for path in PAGES:
        if path.name != "CHANGELOG.md":
            for name in re.findall(r"\b(?:nncore|pipeline|tests)/[\w/]*\w\.py\b", path.read_text(encoding="utf-8")):
                assert (ROOT / name).exists(), f"{path}: {name}"


def test_every_setting_that_a_page_names_is_there():
    """By its group and, but for names that a user chooses, by its last part: `data.target=price`."""
    known = text("docs/reference/settings.md") + text("docs/reference/commands.md")
    for path in sorted({*DOCS.glob("guides/*.md"), *DOCS.glob("explanation/*.md"), *DOCS.glob("*.md")}):
        for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", path.read_text(encoding="utf-8")):
            for name in re.findall(r"(?:^|[ '])[+~]?([a-z_]+(?:[.@][a-z_0-9.]+)*)=", code):
                group, *rest = re.split("[.@]", name)
                assert re.search(rf"^## {group}$|^\| `{group}[.`]|\b{group}=", known, re.MULTILINE), f"{path}: {name}"
                if rest and rest[0] not in ("kinds", "where"):
                    assert re.search(rf"\b{rest[-1]}[`:=]", known), f"{path}: {name}"


def test_the_generated_pages_are_current():
    spec = importlib.util.spec_from_file_location("make_docs_pages", ROOT / "scripts" / "make_docs_pages.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    for name, page in maker.PAGES.items():
        assert page() == text(f"docs/reference/{name}"), f"{name} is not current: run scripts/make_docs_pages.py"


def test_the_architecture_page_names_every_package():
    page = text("docs/explanation/architecture.md")
    for path in chain(ROOT.glob("nncore/**/__init__.py"), ROOT.glob("pipeline/**/__init__.py")):
        package = str(path.parent.relative_to(ROOT)).replace("/", ".")
        assert f"`{package}`" in page, package
    for package in re.findall(r"`((?:nncore|pipeline)(?:\.\w+)*)`", page):
        assert (ROOT / package.replace(".", "/") / "__init__.py").exists(), package


def test_every_key_of_the_summary_is_on_its_page():
    page = text("docs/reference/summary.md")
    summary = empty_summary("")
    groups = [value for value in summary.values() if isinstance(value, dict)]
    for key in {*summary, *chain(*groups)}:
        assert f"`{key}`" in page, key


def test_the_reference_of_nncore_covers_what_it_exports():
    for name in nncore.__all__:
        assert getattr(nncore, name).__module__.startswith("nncore."), name


def test_the_mathematics_table_leads_to_every_file_of_mathematics():
    page = text("docs/explanation/mathematics.md")
    plumbing = {
        "__init__",
        "base",
        "random_streams",
        "backend",
        "device",
        "elementwise",
        "formula",
        "compiled",
        "workspace",
        "components",
        "hyperparameters",
        "batches",
        "monitor",
        "model",
        "model_file",
        "array_file",
        "regular_file",
        "checkpoint",
        "codec",
        "estimators",
        "hooks",
    }
    for path in (ROOT / "nncore").glob("**/*.py"):
        if path.stem not in plumbing:
            assert f"(../../{path.relative_to(ROOT)})" in page, path


def test_the_licence_of_every_direct_dependency_is_named_and_is_what_its_package_says():
    project = tomllib.loads(text("pyproject.toml"))["project"]
    requirements = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    direct = {re.match(r"[\w-]+", requirement)[0] for requirement in requirements} - {"nnsweep"}
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text("docs/licences.md"), re.MULTILINE)
    named = {entry.partition(" ")[0]: licence for licence, packages in rows[1:] for entry in packages.split(", ")}
    named.pop("---", None)
    assert set(named) == direct
    for package, licence in named.items():
        try:
            about = metadata(package)
        except PackageNotFoundError:
            continue  # an extra that is not installed here
        kinds = [kind.rpartition(" :: ")[2] for kind in about.get_all("Classifier", []) if kind.startswith("License")]
        stated = " ".join([about.get("License-Expression", ""), (about.get("License") or "")[:40], *kinds])
        words = {"Apache-2.0": "Apache", "PSF-based (its own)": "Python Software Foundation"}
        assert words.get(licence, licence) in stated, package


def test_the_version_is_the_same_everywhere():
    (version,) = re.findall(r'^__version__ = "(.+)"$', text("pipeline/components/version.py"), re.MULTILINE)
    assert f"\nversion: {version}\n" in text("CITATION.cff")
    assert f"\n## {version} - " in text("CHANGELOG.md")


def test_pre_commit_runs_the_ruff_of_the_constraints():
    (version,) = re.findall(r"^ruff==(.+)$", text("constraints.txt"), re.MULTILINE)
    assert f"rev: v{version} " in text(".pre-commit-config.yaml")


def test_the_workflow_runs_every_supported_python():
    classifiers = tomllib.loads(text("pyproject.toml"))["project"]["classifiers"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(classifiers))
    assert f"python: {json.dumps(versions)}" in text(".github/workflows/ci.yml")


@pytest.mark.slow
def test_the_page_of_the_output_names_every_key_of_every_event(tmp_path):
    settings = ["data=iris", "execution=local", "tracking=none", "report=none", "training.epochs=1", "output=json"]
    command = [sys.executable, "-m", "pipeline", *settings]
    completed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    page = text("docs/reference/output.md")
    events = [json.loads(line) for line in completed.stdout.splitlines()]
    assert {"run", "stage", "data", "progress", "leaderboard", "summary"} <= {event["event"] for event in events}
    for event in events:
        assert f"`{event['event']}`" in page
        if event["event"] not in ("data", "summary", "plan"):  # the data card, and the page of the summary
            for key in event.keys() - {"event"}:
                assert f"`{key}`" in page, key
