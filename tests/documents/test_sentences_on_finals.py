"""What the documents say of the finals in sentences follows from results/."""

import math
import re
import statistics
from operator import sub

import pytest

from fairseq_labo.experiments.files import read_json
from fairseq_labo.experiments.studies.differences import over_seeds
from scripts import tables
from tests.conftest import REPOSITORY
from tests.documents.seeds import gains_of, listed, mean_of
from tests.documents.texts import words


def test_the_sentences_on_the_finals_hold() -> None:
    """What README and docs say of them."""
    results = tables.study("multi30k-de-en-finals")

    def ece(name: str) -> list[float]:
        return [100 * mean_of(results, name, test, "ece") for test in tables.TESTS]

    def more_nll(name: str, than: str) -> str:
        of, of_other = (
            [mean_of(results, each, test, "nll_bits") for test in tables.TESTS]
            for each in (name, than)
        )
        gaps = list(map(sub, of, of_other))
        return f"{min(gaps):.2f} to {max(gaps):.2f}"

    errors = {name: listed(ece(name)) for name in results.methods}
    differences = {
        name: [results.differences[test][name].difference for test in tables.TESTS]
        for name in results.differences["test"]
    }
    gains = listed(-each for each in differences["cross_entropy"])
    labo, target, tsla, default = (
        listed(differences[name], "+") for name in ("labo", "labo_target", "tsla", "labo_default")
    )
    page = words(REPOSITORY / "docs" / "results.md")
    of_both = f"{errors['label_smoothing']} % where that has {errors['cross_entropy']} %"
    assert f"long, {gains} above, with an ECE of {of_both}" in page
    assert f"long, {labo} BLEU from label smoothing (En-De," in page
    assert f"underconfident overall (ECE {errors['labo']} %)" in page
    assert f"the same α and β: long, {target} BLEU from label smoothing (En-De," in page
    assert f"(ECE {errors['labo_target']} %)" in page
    assert f"long, {tsla} BLEU from label smoothing. Against it: as overconfident" in page
    assert f"(long: ECE {errors['tsla']} %), and when long more NLL" in page
    assert min(map(float, more_nll("tsla", "label_smoothing").split(" to "))) > 0
    of = results.differences["test"]["labo"]
    said = f"{of.difference:+.2f}, 95 % interval {of.low:+.2f} to {of.high:+.2f}"
    assert f"(on 2016 {said}; true differences below about {of.detectable:.1f} may" in page
    detectable = listed(results.differences[test]["labo"].detectable for test in tables.TESTS)
    assert f"A true difference of about {detectable} BLEU on the three tests" in page
    names = [name for name in results.methods if name != "label_smoothing"]
    without_seed_1 = [statistics.fmean(gains_of(results, name, "test")[1:]) for name in names]
    assert f"differences on 2016 are {listed(without_seed_1, '+', 2)}, in" in page
    worse = list(map(sub, ece("labo"), ece("label_smoothing")))
    assert sum(each > 0 for each in worse) == 2 and "worse calibrated on two of three" in page
    others = {
        test: {name: each.p_corrected for name, each in of.items() if name != "rdrop"}
        for test, of in results.differences.items()
    }
    assert min(p for of in others.values() for p in of.values()) > 0.05
    (of_2016, of_2017, _), names_of = zip(*(
        min((p, name) for name, p in others[test].items()) for test in tables.TESTS
    ), strict=True)  # fmt: skip
    assert names_of[:2] == ("cross_entropy", "cross_entropy") and of_2017 < of_2016
    said = f"entropy's, which is below it: {of_2016:.2f} on 2016 and {of_2017:.3f} on 2017"
    assert said in page
    of_default = [results.differences[test]["labo_default"] for test in tables.TESTS]
    intervals = ", ".join(f"{each.low:+.2f} to {each.high:+.2f}" for each in of_default)
    assert (
        f"{default} BLEU from label smoothing (95 %, over seeds and sentences: {intervals})" in page
    )
    more = list(map(sub, ece("labo_default"), ece("label_smoothing")))
    assert (
        f"{more_nll('label_smoothing', 'labo_default')} bits less NLL and ECE {min(more):.1f} to "
        f"{max(more):.1f} points higher (over seeds only ECE's interval on 2017 excludes 0)"
    ) in page
    excluded = set()
    for test in tables.TESTS:
        for key in ("nll_bits", "ece"):
            _, low, high = over_seeds(gains_of(results, "labo_default", test, key))
            if low * high > 0:
                excluded.add((test, key))
    assert excluded == {("test1", "ece")}
    short = f"on 2016, 95 % over seeds and sentences: {of.low:+.1f} to {of.high:+.1f} BLEU, with "
    short += f"the defaults {of_default[0].low:+.1f} to {of_default[0].high:+.1f}; with three "
    short += "seeds, English to German "
    other = tables.study("multi30k-en-de-finals").differences["test"]["labo"]
    short += f"{other.low:+.1f} to {other.high:+.1f}, 15"
    assert short in words(REPOSITORY / "README.md")
    assert f"when long {more_nll('cross_entropy', 'label_smoothing')} less" in page
    assert f"{more_nll('labo', 'label_smoothing')} bits more NLL than label smoothing" in page
    records = tables.RESULTS / "studies" / "multi30k-de-en-finals" / "runs"
    of_default, of_best = (
        statistics.fmean(
            tables.label_entropy(records / name / f"seed-{seed}") for seed in results.seeds
        )
        for name in ("labo_default", "labo")
    )
    uniform = tables.label_entropy(records / "rdrop" / "seed-1")  # log2 V
    said = f"{of_default:.2f} bits, of log2 V = {uniform:.2f}; for α = 0.4 and β = 2 it is"
    assert f"its entropy is {said} {of_best:.2f})" in page and "V = 4,120." in page
    assert math.log2(4120) == pytest.approx(uniform, abs=0.001)
    short = f"almost uniform (entropy {of_default:.2f} bits, log2 V = {uniform:.2f})"
    assert short in words(REPOSITORY / "README.md")
    in_all = statistics.fmean(ece("label_smoothing"))  # beside the attempt that failed
    assert f"{errors['label_smoothing']} % in the finals, {in_all:.1f} % in the mean" in page


def test_the_sentences_on_r_drop_hold() -> None:
    """What it is, and why, after its first seed, two others went on: it could not be one."""
    results = tables.study("multi30k-de-en-finals")
    of = [results.differences[test]["rdrop"] for test in tables.TESTS]
    more = [statistics.fmean(gains_of(results, "rdrop", test, "nll_bits")) for test in tables.TESTS]
    errors, nll, brier = (
        {
            name: [factor * mean_of(results, name, test, key) for test in tables.TESTS]
            for name in results.methods
        }
        for key, factor in (("ece", 100), ("nll_bits", 1), ("brier", 1))
    )
    lowest = [min(errors, key=lambda name: errors[name][n]) for n in range(len(of))]
    assert lowest == ["rdrop"] * len(of)
    page = words(REPOSITORY / "docs" / "results.md")
    assert (
        f"long, {listed((each.difference for each in of), '+')} BLEU from label smoothing, which "
        f"is not chance (p, corrected, at most {max(each.p_corrected for each in of):.4f}), and "
        f"{min(more):.2f} to {max(more):.2f} bits more NLL; the lowest ECE, "
        f"{listed(errors['rdrop'])} %"
    ) in page
    for of_method in (nll, brier):
        for n in range(len(of)):
            assert max(of_method, key=lambda name: of_method[name][n]) == "rdrop"
    scores = f"{listed(brier['rdrop'], digits=2)}; label smoothing "
    scores += f"{listed(brier['label_smoothing'], digits=2)})"
    assert f"the highest Brier score of all ({scores}" in page
    bleu = {
        name: [statistics.fmean(run.compared[test].score for run in runs) for test in tables.TESTS]
        for name, runs in results.methods.items()
    }
    for number in range(len(of)):  # but for one on COCO
        ranks = sorted(bleu, key=lambda name: bleu[name][number])
        assert ranks[0] == "rdrop" and "cross_entropy" in ranks[1 : 2 + (number == 2)]
        assert (ranks[1] == "labo_target") == (number == 2)
    runs = [run for run in results.methods["rdrop"] if not run.trained["resumed"]]
    assert [run.seed for run in runs] == [1, 2, 3]
    minutes = [run.trained["seconds"] / 60 for run in runs]
    assert f"with R-Drop {min(minutes):.0f} to {max(minutes):.0f}. Seeds 4 and 5" in page
    of_first = results.methods["rdrop"][0].scores["test"]["bleu"]["score"]
    means = {
        name: statistics.fmean(run.scores["test"]["bleu"]["score"] for run in of_method)
        for name, of_method in results.methods.items()
        if name not in ("label_smoothing", "labo_default", "rdrop")
    }
    best, second = sorted(means, key=lambda name: means[name], reverse=True)[:2]
    needed = (5 * means[second] - of_first) / 4
    for study in ("multi30k-en-de-finals", "iwslt14-15k-de-en-finals"):
        text = words(REPOSITORY / "studies" / f"{study}.yaml").replace("# ", "")
        said = f"({best} and {second} were added"
        assert said in text and f"{means[best]:.2f} and {means[second]:.2f} in the mean" in text
        assert f"need {needed:.1f} in the mean of its other four" in text


def test_the_sentences_on_the_beams_hold() -> None:
    """Means over the seeds, with each width of the search."""
    results = tables.study("multi30k-de-en-beams")

    def of_widths(method: str, key: str) -> list[float]:
        found = [[getattr(each, key) for each in run.beams["test"].values()]
                 for run in results.methods[method]]  # fmt: skip
        return [statistics.fmean(each) for each in zip(*found, strict=True)]

    def above(other: str) -> str:
        pairs = zip(of_widths("label_smoothing", "score"), of_widths(other, "score"), strict=True)
        one, five, twenty, fifty = (f"{ours - theirs:.1f}" for ours, theirs in pairs)
        return f"{one}, {five}, {twenty} and {fifty}"

    of_twenty, of_fifty = list[tuple[float, float]](), list[tuple[float, float]]()
    for name in results.methods:
        _, five, *wider = of_widths(name, "score")
        _, length, *lengths = of_widths(name, "length_ratio")
        for found, gain, ratio in zip((of_twenty, of_fifty), wider, lengths, strict=True):
            found.append((gain - five, length - ratio))
    page = words(REPOSITORY / "docs" / "results.md")
    (gains, shorter), (of_20, shorter_20) = (
        list(zip(*found, strict=True)) for found in (of_fifty, of_twenty)
    )
    assert f"50, BLEU is {min(gains):.1f} to {max(gains):.1f} above that with 5, and" in page
    assert f"are shorter by {max(shorter):.3f} of the" in page
    below = f"(with 20, BLEU is up to {-min(of_20):.1f} below, and they are shorter by "
    assert f"{below}{max(shorter_20):.3f} at most)" in page
    assert f"above cross entropy by {above('cross_entropy')} with beams 1, 5, 20 and 50" in page
    assert f"and above LABO by {above('labo')}." in page


def test_the_sentence_on_tsla_s_switch_holds() -> None:
    """The records of the search."""
    runs = tables.RESULTS / "studies" / "multi30k-de-en-finals" / "runs"
    searched = [runs / f"tsla/smoothing_updates={each}/seed-1" for each in (5500, 8250, 9900)]

    assert read_json(runs / "choices.json")["tsla"] == {"smoothing_updates": "5500"}
    found = [read_json(run / "valid-scores" / "scores.json")["bleu"]["score"] for run in searched]
    first, second, third = (f"{each:.2f}" for each in found)
    page = words(REPOSITORY / "docs" / "results.md")
    assert f"of the 11,000 updates it is {first}, {second} and {third}. Two of these" in page
    assert [read_json(run / "train.json")["resumed"] for run in searched] == [True, True, False]


def test_the_sentence_on_the_finals_lengths_holds() -> None:
    """Length ratio and geometric mean of the precisions: cross entropy, then the others.

    And the brevity penalty's share in the distance of label smoothing, its logarithm in BLEU's.
    """
    results = tables.study("multi30k-de-en-finals")
    said = dict[str, list[float]]()
    of_test = dict[str, tuple[float, float]]()
    for test in ("test", "test1"):
        for name, runs in results.methods.items():
            bleu = [run.scores[test]["bleu"] for run in runs]
            parts = [re.findall(r"[\d.]+", each["text"].partition(" = ")[2]) for each in bleu]
            right = [statistics.geometric_mean(map(float, part[1:5])) for part in parts]
            lengths_of = [re.findall(r"_len = (\d+)", each["text"]) for each in bleu]
            ratios = [int(ours) / int(theirs) for ours, theirs in lengths_of]
            of = "R-Drop " if name == "rdrop" else ""
            said.setdefault(f"{of}{test} n-grams", []).append(statistics.fmean(right))
            said.setdefault(f"{of}{test} length", []).append(statistics.fmean(ratios))
            if test == "test":
                of_test[runs[0].method] = (
                    statistics.fmean(min(0, 1 - 1 / ratio) for ratio in ratios),
                    statistics.fmean(math.log(each["score"]) for each in bleu),
                )

    def shown(of: str, digits: int) -> tuple[str, str]:
        first, *others = (f"{each:.{digits}f}" for each in said[of])
        return first, f"{min(others)} to {max(others)}"

    length, lengths = shown("test length", 3)
    (right, of_others), (fewer, more) = shown("test n-grams", 1), shown("test1 n-grams", 1)
    (of_rdrop,), (right_of_rdrop,) = (said[f"R-Drop test {of}"] for of in ("length", "n-grams"))
    penalty, whole = map(sub, of_test["label_smoothing"], of_test["cross_entropy"])
    assert (
        f"({100 * penalty / whole:.0f} % of its distance from label smoothing, in the logarithm of "
        f"BLEU): its translations have {length} of the references' length, the others {lengths}, "
        f"and of its n-grams almost as many are right (geometric mean of the precisions {right} %, "
        f"the others {of_others} %). On 2017 fewer are ({fewer} %, the others {more} %). R-Drop's, "
        f"left out here, have {of_rdrop:.3f} of the length and {right_of_rdrop:.1f} % of the "
        "n-grams on 2016."
    ) in words(REPOSITORY / "docs" / "results.md")


def test_the_sentence_on_the_ece_of_a_calibrated_model_holds() -> None:
    """The mean of |n-sided coin's share − its chance|, by the normal distribution."""
    results, said = tables.study("multi30k-de-en-finals"), []
    for test in ("test", "test2"):
        expected, tokens = [], set()
        for run in results.runs:
            bins = [each for each in run.scores[test]["calibration"]["bins"] if each["tokens"]]
            total = sum(each["tokens"] for each in bins)
            variances = [each["tokens"] * each["confidence"] * (1 - each["confidence"])
                         for each in bins]  # fmt: skip
            tokens.add(total)
            expected.append(100 * math.sqrt(2 / math.pi) * sum(map(math.sqrt, variances)) / total)
        (total,) = tokens
        said.append((f"{min(expected):.1f} to {max(expected):.1f} %", f"{total:,} tokens"))
    (of_2016, tokens), (of_coco, fewer) = said
    page = words(REPOSITORY / "docs" / "evaluation.md")
    assert (
        f"{of_2016} is expected on the {tokens} of 2016, {of_coco} on the {fewer.split()[0]}"
        in page
    )
