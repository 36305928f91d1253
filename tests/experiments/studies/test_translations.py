"""Which translations are shown: one of each part of the test set, where the methods differ."""

from pathlib import Path

from fairseq_labo.experiments.data.prepared import Given, PreparedCorpus
from fairseq_labo.experiments.files import write_lines
from fairseq_labo.experiments.studies.run import final_runs
from fairseq_labo.experiments.studies.translations import choose_translations, most_different
from tests.experiments.studies.conftest import make_study


def test_one_of_each_part_and_the_first_of_equals() -> None:
    a = list("aaaaaaaa")
    b = list("abaaabaa")
    c = list("abbaaacb")
    # Parts 0-1, 2-3, 4-5, 6-7.
    assert most_different({"a": a, "b": b, "c": c}, 8) == [1, 2, 5, 6]
    assert most_different({"a": a}, 8) == [0, 2, 4, 6]
    assert most_different({"a": ["x"], "b": ["y"]}, 1) == [0]
    assert most_different({"a": list("xxxxxxx"), "b": list("xxxxxxy")}, 7)[-1] == 6  # the last


def test_translations_of_the_first_seed(tmp_path: Path) -> None:
    """Of a folder of fairseq-preprocess, which has no raw source; none without hypotheses."""
    runs = final_runs(make_study(), tmp_path, choices={"labo": {"labo_beta": "2"}})
    references = tmp_path / "test.en"
    write_lines(references, ["one", "two"])

    class Corpus(PreparedCorpus):
        def num_sentences(self, subset: str) -> int:
            return 2

    given = Given("none", "none", {"test": references})
    corpus = Corpus(tmp_path, tmp_path, "own", ("de", "en"), {"test": "test"}, {}, given)
    for run in runs:
        if run.method == "smooth" or run.seed == 1:
            assert choose_translations(runs, corpus, "test") == ()
        run.scores_folder("test").mkdir(parents=True)
        name = f"{run.method} {run.seed}"
        write_lines(run.scores_folder("test") / "hyp.en", [f"{name}, 1", f"{name}, 2"])
    first, second = choose_translations(runs, corpus, "test")
    assert (first.sentence, first.source, first.reference) == (1, None, "one")
    assert first.hypotheses == {"smooth": "smooth 1, 1", "labo": "labo 1, 1"}
    assert second.rows() == [
        ["reference", "two"], ["smooth", "smooth 1, 2"], ["labo", "labo 1, 2"],
    ]  # fmt: skip
