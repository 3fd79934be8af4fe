"""README, pins and commands say what is true of the repository."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from evaluation import ledger
from evaluation.report import markdown

ROOT = Path(__file__).resolve().parent.parent
RUNS = ledger.read(ROOT / "results" / "results.csv")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return dict(line.split("==") for line in lines if "==" in line)


def test_the_result_table_is_the_ledger():
    between = README[README.index(markdown.MARKS[0]) + len(markdown.MARKS[0]) : README.index(markdown.MARKS[1])]
    assert between.strip() == markdown.headline(RUNS, markdown.read_published()).strip()
    assert "sample" not in between, "the first page shows what was measured on real data"
    assert len(README.splitlines()) <= 170
    whole = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert whole == markdown.everything(RUNS, markdown.read_published())


def test_the_table_is_rewritten_between_its_marks_only(tmp_path):
    readme, results = tmp_path / "README.md", tmp_path / "results"
    results.mkdir()
    shutil.copy(ROOT / "results" / "results.csv", results)
    readme.write_text(f"before\n{markdown.MARKS[0]}\nstale table\n{markdown.MARKS[1]}\nafter\n")
    markdown.write_tables(readme, results)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "stale table" not in text
    assert "tiny-llama, default verdict" in text
    assert (results / "README.md").read_text().startswith("# Results")


def test_the_file_tree_names_every_room_and_nothing_else():
    tree = README[README.index("## What is where") : README.index("The wings `parsing/`")]
    present = {path.name for path in [*ROOT.glob("*.py"), *ROOT.glob("*.ipynb")]}
    present |= {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/*") if path.parts[-2][0] != "."}
    named, top = set(), ""
    for indent, name in re.findall(r"^( *)([\w/.]+) {2,}", tree, flags=re.M):
        top = top if indent else name.rstrip("/")
        path = f"{top}/{name}" if indent else name
        assert (ROOT / path).exists(), path
        named.add(path.rstrip("/"))
    assert {path for path in named if path.startswith("parsing/")} == {
        "parsing/lines",
        "parsing/templates",
        "parsing/sequences",
        "parsing/workflows",
    }
    assert present - {"__pycache__"} <= named


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"{room}/README.md" for room in ("data", "benchmarks", "results", "methods")),
]
PAGES += [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
        assert ((ROOT / page).parent / target).exists(), target


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set(re.findall(r"`?make ([a-z]+)\b", README + (ROOT / ".ci" / "run").read_text()))
    assert {"run", "test", "help", "table"} <= named <= targets | {"table"}


def test_the_same_package_has_the_same_pin_everywhere():
    """A hosted runtime with another trl than the tests ran with would be a program nobody tested."""
    core = pins("requirements.txt")
    for name in ("requirements/colab.txt", "requirements/gpu.txt"):
        for package, version in pins(name).items():
            assert core.get(package, version) == version, (name, package)
    assert core["torch"] == "2.13.0"
    assert core["trl"] != "1.15.0"
    assert not {"torch", "torchvision", "numpy", "pandas"} & set(pins("requirements/colab.txt"))
    assert "unsloth" not in core


def test_the_setup_cell_installs_the_pinned_drain3():
    setup = next(cell for cell in nbformat.read(ROOT / "train.ipynb", 4).cells if cell.cell_type == "code").source
    assert f"drain3=={pins('requirements.txt')['drain3']}" in setup


def test_nothing_unsafe_is_loaded_or_evaluated():
    for path in [*ROOT.glob("*.py"), *(ROOT / "parsing").rglob("*.py"), *(ROOT / "methods").rglob("*.py")]:
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"pickle|torch\.load|(?<!\.)\beval\(|\bexec\(|trust_remote_code=True", source), path


def test_the_three_wings_never_import_each_other():
    wings = {"parsing", "methods", "evaluation"}
    for wing in wings:
        for path in (ROOT / wing).rglob("*.py"):
            imported = set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), flags=re.M))
            assert not imported & (wings - {wing} | {"utils", "parse_logs", "run"}), path
            assert wing == "methods" or not imported & {"torch", "transformers"}, path


@pytest.mark.slow
def test_every_benchmark_can_be_imported():
    """A name that moved is found by no other test: these programs run by hand alone."""
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
    code = "\n".join(f"import benchmarks.{name}" for name in names)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]


@pytest.mark.slow
def test_importing_utils_does_not_import_torch():
    code = "import sys, utils; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
