"""The texts of jobs, each form worked by hand for one job."""

import polars as pl
import pytest

from core.errors import BadInput
from core.jobs import FEATURES
from methods.supervised.job_texts import FORMS, SHORT, JobTexts

VALUES = (1.0, 99.0, 1234.5, 5.0, 0.0, 0.256, 123456789.0, 1000.0, None)  # in the order of FEATURES
WORKED = {
    "published": "wms_delay is 1.0 queue_delay is 99.0 runtime is 1234.5 post_script_delay is 5.0 stage_in_delay is "
    "0.0 stage_out_delay is 0.256 stage_in_bytes is 123456789.0 stage_out_bytes is 1000.0 "
    "kickstart_executables_cpu_time is nan ",
    "short": "wms 1 queue 99 runtime 1230 post 5 in 0 out 0.256 inbytes 123000000 outbytes 1000 cpu none",
    "log": "wms 30 queue 200 runtime 309 post 77 in 0 out 9 inbytes 809 outbytes 300 cpu none",
    # Training is 0 to 100, so the hundredths are 1 to 99, and a value on an edge is below it.
    "bins": "wms 0 queue 98 runtime 99 post 4 in 0 out 0 inbytes 99 outbytes 99 cpu none",
    "bins of type": "sort wms 0 queue 98 runtime 99 post 4 in 0 out 0 inbytes 99 outbytes 99 cpu none",
}


def jobs(kind: str, *rows) -> pl.DataFrame:
    schema = {"type": pl.String} | dict.fromkeys(FEATURES, pl.Float64)
    return pl.DataFrame([(kind, *row) for row in rows], schema=schema, orient="row")


def evenly(kind: str, least: int = 0, step: int = 1) -> pl.DataFrame:
    """Training jobs that have each whole number from `least` on, in every feature."""
    return jobs(kind, *([float(least + step * number)] * len(FEATURES) for number in range(101)))


def shown(text: str, name: str) -> str:
    words = text.split()
    return words[words.index(SHORT[name]) + 1]


@pytest.mark.parametrize("form", FORMS)
def test_a_job_is_the_text_that_was_worked_by_hand_with_what_is_missing_named(form):
    assert JobTexts(form, evenly("sort"))(jobs("sort", VALUES)) == [WORKED[form]]


@pytest.mark.parametrize("form", FORMS)
def test_features_stand_in_the_order_of_the_publication(form):
    """A model that is given another order at test time is given another language."""
    (text,) = JobTexts(form, evenly("sort"))(jobs("sort", VALUES).select(["type", *reversed(FEATURES)]))
    names = FEATURES if form == "published" else [SHORT[name] for name in FEATURES]
    words = text.split()
    assert sorted(names, key=words.index) == list(names)
    assert len(set(SHORT.values())) == len(FEATURES)


@pytest.mark.parametrize("form", FORMS)
def test_a_text_depends_on_its_job_alone_and_not_on_those_beside_it(form):
    """Bins of the jobs that are asked for would show a model of one job what the test looks like."""
    texts = JobTexts(form, pl.concat([evenly("sort"), evenly("merge", 1_000)]))
    others = jobs("sort", *([1e6 + number] * 9 for number in range(50)))
    beside = texts(pl.concat([others, jobs("sort", VALUES), jobs("merge", [1_050.0] * 9)]))
    assert beside[50:] == [*texts(jobs("sort", VALUES)), *texts(jobs("merge", [1_050.0] * 9))]


def test_bins_are_of_all_training_jobs_and_bins_of_type_of_those_of_the_type():
    train, job = pl.concat([evenly("sort"), evenly("merge", 1_000)]), jobs("merge", [1_050.5] * 9)
    assert shown(JobTexts("bins", train)(job)[0], "runtime") == "75"  # 150 of the 202 are below it
    assert shown(JobTexts("bins of type", train)(job)[0], "runtime") == "50"


def test_a_type_that_training_never_saw_has_the_bins_of_all_jobs_and_its_own_name():
    train, job = pl.concat([evenly("sort"), evenly("merge", 1_000)]), jobs("new", [1_050.5] * 9)
    (typed,), (plain,) = JobTexts("bins of type", train)(job), JobTexts("bins", train)(job)
    assert typed == f"new {plain}"


@pytest.mark.parametrize("form", ["bins", "bins of type"])
def test_a_number_that_no_training_job_has_is_one_bin_and_a_missing_one_none(form):
    train = evenly("sort").with_columns(runtime=pl.lit(None, pl.Float64))
    texts = JobTexts(form, train)(jobs("sort", VALUES, [None] * 9))
    assert [shown(text, "runtime") for text in texts] == ["0", "none"]
    assert shown(texts[1], "queue_delay") == "none"


@pytest.mark.parametrize("form", ["bins", "bins of type"])
def test_few_values_are_spread_over_the_hundred_parts_so_that_the_largest_is_not_like_the_least(form):
    """Equal edges are one; places that were only counted would be 0 to 3 of 100."""
    train = jobs("sort", *([float(number % 2)] * 9 for number in range(100)))
    texts = JobTexts(form, train)(jobs("sort", [0.0] * 9, [1.0] * 9, [2.0] * 9))
    places = [int(shown(text, "runtime")) for text in texts]
    assert places[0] == 0
    assert places == sorted(places)
    assert places[2] == 99


def test_an_unknown_form_is_one_sentence_with_the_known_ones():
    with pytest.raises(BadInput, match="'prose'; choose one of published, short"):
        JobTexts("prose", evenly("sort"))
