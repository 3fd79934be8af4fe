"""Ray as an optional engine: the same function over stretches of the file gives the same folder."""

import pytest

import parse_logs
from core.errors import BadInput
from parsing.datasets import HDFS
from parsing.lines import on_ray


def test_stretches_are_whole_lines_and_cover_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(on_ray, "BLOCK_BYTES", 10)
    log = tmp_path / "a.log"
    text = b"one line\nanother longer line\n\nx\nlast without newline"
    log.write_bytes(text)
    stretches = on_ray.cut(log)
    parts = [text[start:stop] for start, stop in stretches]
    assert b"".join(parts) == text
    assert len(parts) >= 2
    assert all(part.endswith(b"\n") for part in parts[:-1])


def test_stretches_read_apart_are_numbered_as_one(small_log, monkeypatch):
    monkeypatch.setattr(on_ray, "BLOCK_BYTES", 50_000)
    source = on_ray.LogFile(small_log[0])
    rows = [{"path": str(small_log[0]), "start": start, "stop": stop} for start, stop in on_ray.cut(small_log[0])]
    blocks = [on_ray.unpack(on_ray.read_stretch(row, HDFS), source) for row in rows]
    assert len(blocks) > 5
    lines = [line for block in blocks for line in dict.fromkeys(block.events["line"])]
    assert lines == list(range(1, 7_864))
    assert source.lines == 7_863


@pytest.mark.parametrize(("name", "expected"), [("a.log.gz", "is packed"), ("gone.log", "does not exist")])
def test_what_cannot_be_cut_is_a_sentence(tmp_path, name, expected):
    if name.endswith("gz"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadInput, match=expected):
        on_ray.cut(tmp_path / name)


def test_two_workers_give_the_same_folder(small_log, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is optional: pip install -r requirements/ray.txt")
    monkeypatch.setattr(on_ray, "BLOCK_BYTES", 200_000)
    log, labels = map(str, small_log)
    try:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        for engine in ("polars", "ray"):
            out = str(tmp_path / engine / "d")
            assert parse_logs.main(["hdfs", "--log", log, "--labels", labels, "--out", out, "--engine", engine]) == 0
    finally:
        ray.shutdown()
    for path in (tmp_path / "polars" / "d").iterdir():
        assert path.read_bytes() == (tmp_path / "ray" / "d" / path.name).read_bytes(), path.name
