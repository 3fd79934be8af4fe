"""report.html as a browser shows it: no error, every link leads somewhere, and a picture to look at."""

import re
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from evaluation.report.alarms import alarms
from tests.evaluation.test_page import HOSTILE, judged, sequences, write_run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
)  # fmt: skip


def browse(page: Path, *options: str) -> subprocess.CompletedProcess:
    """Open a page in a browser with a profile of its own."""
    profile = page.parent / "profile"
    command = [BROWSER, *QUIET, f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
@pytest.mark.parametrize("width", [1200, 400])
def test_the_report_opens_without_an_error_in_the_console(tmp_path, width):
    """A blocked picture or style, or text of a log that became script, shows in the console alone."""
    data = sequences([[HOSTILE, "b", "c"]], [[1, 2, 3]]).with_columns(sequence_id=pl.lit(HOSTILE))
    found = alarms(judged({"sequence_id": HOSTILE}), data, {"b": HOSTILE}, lambda prefixes: [[("b", 0.4)]])
    write_run(tmp_path / "run", found)
    picture = tmp_path / "report.png"
    done = browse(tmp_path / "run" / "report.html", f"--window-size={width},1600", f"--screenshot={picture}")
    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line], done.stderr
    assert picture.stat().st_size > 10_000
    document = browse(tmp_path / "run" / "report.html", "--dump-dom").stdout
    ids = set(re.findall(r'\bid="([^"]+)"', document))
    assert set(re.findall(r'href="#([^"]+)"', document)) <= ids
    assert "<script" not in document and "onerror" not in re.sub(r"&lt;.*?&gt;", "", document)
