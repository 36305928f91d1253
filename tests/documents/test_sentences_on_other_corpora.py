"""What the documents say of the finals' methods on En-De and TED in sentences."""

import statistics

from fairseq_labo.experiments.studies.differences import over_seeds
from fairseq_labo.experiments.studies.report_tables import p_values
from fairseq_labo.experiments.studies.significance import LEVEL
from scripts import tables
from tests.conftest import REPOSITORY
from tests.documents.seeds import gains_of, listed, mean_of
from tests.documents.texts import words


def test_the_sentences_on_the_other_direction_hold() -> None:
    """English to German: both kinds of LABO, less label smoothing."""
    results = tables.study("multi30k-en-de-finals")
    of = [results.differences[test] for test in tables.TESTS]
    labo, target = ([each[name] for each in of] for name in ("labo", "labo_target"))
    first, second = (listed((each.difference for each in found), "+") for found in (labo, target))
    lowest = min((each.p_corrected, number) for number, each in enumerate(labo + target))
    assert lowest[1] % len(of) == 2  # COCO
    same = tables.study("multi30k-de-en-finals").differences
    below = [
        same[test][name].difference < 0 for test in tables.TESTS for name in ("labo", "labo_target")
    ]
    assert all(below) and min(each.difference for each in labo + target) > 0
    nll, ece = (
        [
            factor * statistics.fmean(gains_of(results, name, test, key))
            for test in tables.TESTS
            for name in ("labo", "labo_target")
        ]
        for key, factor in (("nll_bits", 1), ("ece", 100))
    )
    page = words(REPOSITORY / "docs" / "results.md")
    detectable = listed(each.detectable for each in labo)
    for text in (
        f"the lowest p, corrected, is {lowest[0]:.2f}, on COCO",
        f"A true difference of about {detectable} BLEU on the three tests would be found with a "
        "power of 80 %, at 5 % divided by two: three",
        f"{min(nll):.2f} to {max(nll):.2f} bits more NLL",
        f"an ECE {min(ece[:4]):.1f} to {max(ece[:4]):.1f} points higher (on COCO {ece[4]:+.1f} and "
        f"{ece[5]:+.1f})",
        f"(En-De, three seeds: {first}, within chance)",
        f"(En-De, three seeds: {second}, within chance)",
        f"of these settings is {first.replace('+', '')} BLEU above label smoothing on the three "
        "tests, within",
    ):
        assert text in page


def test_the_sentences_on_ted_hold() -> None:
    """15,000 pairs: both kinds of LABO, less label smoothing."""
    results = tables.study("iwslt14-15k-de-en-finals")
    base, names = "label_smoothing", ("labo", "labo_target")
    of = [results.differences["test"][name] for name in names]
    nll, ece = (
        [gains_of(results, name, "test", key) for name in names] for key in ("nll_bits", "ece")
    )
    for of_seeds in nll:
        assert over_seeds(of_seeds)[1] > 0
    for of_seeds in ece:
        assert over_seeds(of_seeds)[2] < 0
    more, of_labo = [statistics.fmean(each) for each in nll], gains_of(results, "labo", "test")
    significant = [
        all(p is not None and p < LEVEL for p in p_values(run, "test"))
        for run in results.methods["labo"]
    ]
    assert significant == [True, False, True]
    percent = {
        (name, key): 100 * mean_of(results, name, "test", key)
        for name in results.methods
        for key in ("ece", "accuracy", "confidence")
    }
    runs = [run for of_method in results.methods.values() for run in of_method]
    minutes = [run.trained["seconds"] / 60 for run in runs if not run.trained["resumed"]]
    resumed = [(run.method, run.seed) for run in runs if run.trained["resumed"]]
    assert resumed == [(base, 1), (base, 3), ("labo", 1), ("labo_target", 2)]
    (epochs,) = {run.validations[-1].epoch for run in runs}
    short = tables.study("iwslt14-15k-de-en").methods[base]
    of_short = statistics.fmean(run.compared["test"].score for run in short)
    page = words(REPOSITORY / "docs" / "results.md")
    for text in (
        f"11,000 updates are {epochs} epochs here. (One thread each, {min(minutes):.0f} to "
        f"{max(minutes):.0f} minutes; ",
        f"(p, corrected, {of[0].p_corrected:.2f} and {of[1].p_corrected:.2f}): a true difference "
        f"of about {of[0].detectable:.1f} would be found with a power of 80 %, at",
        f"with seed 1 ({of_labo[0]:+.2f}) and significantly below with seed 3 "
        f"({of_labo[2]:+.2f}): a seed moves more than the method",
        f"by {min(more):.2f} to {max(more):.2f} bits",
        f"{percent['labo', 'ece']:.1f} and {percent['labo_target', 'ece']:.1f} % where label "
        f"smoothing has {percent[base, 'ece']:.1f} %:",
        f"(mean confidence {percent[base, 'confidence']:.1f} %, accuracy "
        f"{percent[base, 'accuracy']:.1f} %)",
        f"({percent['labo', 'confidence']:.1f} %, {percent['labo', 'accuracy']:.1f} %)",
        f"after 8.7 epochs, label smoothing has {of_short:.1f} BLEU",
        f"(three seeds) it is {of[0].difference:.1f} above, within chance, with higher NLL; its "
        f"ECE is lower there, {percent['labo', 'ece']:.1f} % where label smoothing has "
        f"{percent[base, 'ece']:.1f} % (which",
        f"{of[0].difference:+.1f} on 15,000 pairs of TED talks (three seeds, within chance), there "
        f"with an ECE of {percent['labo', 'ece']:.1f} % where label smoothing has",
        f"{of[1].difference:+.1f} on TED (three seeds, within chance)",
        f"long on TED, overconfident (ECE {percent[base, 'ece']:.1f} %)",
    ):
        assert text in page
    short_of_all = f"15,000 TED pairs {of[0].low:+.1f} to {of[0].high:+.1f}:"
    assert short_of_all in words(REPOSITORY / "README.md")
    assert max(each.low for each in of) < 0 < min(each.high for each in of)
