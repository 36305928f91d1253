"""What an evaluation's reader is told beside the scores, and the table for a terminal."""

from fairseq_labo.experiments.evaluation import summary
from fairseq_labo.experiments.evaluation.bleu import Texts


def test_lowercase_output_is_told() -> None:
    assert summary.has_capitals(["3 %", "der Hund"])
    assert not summary.has_capitals(["der hund, 3 %"])
    texts = Texts(["der hund", " "], ["Der Hund", "x"], ["", ""], ["", ""])
    described = summary.describe(texts)
    assert described["lowercase_output"] and described["empty_hypotheses"] == 1
    empty = summary.describe(Texts([" ", "3 %"], ["Der Hund", "x"], ["", ""], ["", ""]))
    assert not empty["lowercase_output"]  # without a letter
    upper = summary.describe(Texts(["Der"], ["Der"], [""], [""]))
    assert not upper["lowercase_output"]


def test_human_table() -> None:
    measures = dict.fromkeys(("nll_bits", "entropy_bits", "accuracy", "ece", "mce", "brier"), 0.5)
    report = {
        "bleu": {"label": "sacreBLEU", "signature": "nrefs:1", "score": 9.5},
        "chrf": {"label": "chrF", "signature": "nc:6", "score": 30.25},
        "lowercase_output": True,
        "calibration": {"tokens": 7, "bins": [{}], **measures},
        "paper": ["wmt14.en-de: ours"],
        "ceiling": {"bleu": 99.5},
        "skipped": [],
        "empty_hypotheses": 0,
        "subset": {"sentences": 24},
        "languages": ["de", "en"],
    }
    lines = summary.human_table(report)
    assert [line.split() for line in lines[:3]] == [
        ["score", "ceiling", "signature"],
        ["sacreBLEU", "9.50", "99.50", "nrefs:1"],
        ["chrF", "30.25", "nc:6"],
    ]
    assert lines[1].index("9.50") == lines[2].index("30.25") + 1  # decimal points in one column
    assert "The output has no capitals" in lines[3]
    assert lines[-2:] == ["", "wmt14.en-de: ours"]
    told = summary.human_table({**report, "empty_hypotheses": 3})
    assert [line for line in told if line not in lines] == ["3 of 24 hypotheses are empty."]
    plain = summary.human_table({**report, "lowercase_output": False, "paper": []})
    assert len(plain) == len(lines) - 3
    thai = summary.human_table({**report, "languages": ["en", "th_TH"]})
    assert [line for line in thai if line not in lines] == [
        "Thai has no spaces, at which this BLEU parts words: compare by chrF."
    ]
    torn = summary.human_table({**report, "ceiling": {"bleu": 47.5, "bleu_lowercase": 47.514}})
    assert [line for line in torn if "chrF does not count" in line] == [
        "The references' own tokens, made text as the translations are, have 47.51 BLEU (ceiling): "
        "the rest is lost by detokenizing or in unknown words. chrF does not count spaces."
    ]
    # Only in case: what lowercase scores do not count.
    assert summary.cautions({"ceiling": {"bleu": 90.0, "bleu_lowercase": 99}}, language="de") == []
    assert summary.cautions({}, language="de") == []
    assert "NOT scored: 2 lines" in summary.human_table({**report, "skipped": [4, 7]})[3]
