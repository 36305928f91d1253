"""What the documents say of the finals in sentences follows from results/."""

import math
import re
import statistics
from collections.abc import Callable, Iterable
from operator import sub
from typing import Any

from fairseq_labo.experiments.files import read_json
from fairseq_labo.experiments.studies.differences import over_seeds
from fairseq_labo.experiments.studies.results import Results, RunResult
from scripts import tables
from tests.conftest import REPOSITORY
from tests.documents.texts import words


def listed(values: Iterable[float], sign: str = "", digits: int = 1) -> str:
    """``1.0, 2.0 and 3.0``"""
    *others, last = (f"{each:{sign}.{digits}f}" for each in values)
    return f"{', '.join(others)} and {last}"


def _gains(results: Results, name: str, test: str, key: str = "") -> list[float]:
    """By seed, a method's BLEU (or value of the calibration) less label smoothing's."""

    def value(run: RunResult) -> float:
        return float(run.scores[test]["calibration"][key] if key else run.compared[test].score)

    both = results.methods[name], results.methods["label_smoothing"]
    return [value(ours) - value(theirs) for ours, theirs in zip(*both, strict=True)]


def test_the_sentences_on_the_finals_hold() -> None:
    """What README and docs say of the seeds that are done."""
    results = tables.study("multi30k-de-en-finals")

    def means(method: str, value: Callable[[Any], float]) -> list[float]:
        runs = results.methods[method]
        return [statistics.fmean(value(run.scores[test]) for run in runs) for test in tables.TESTS]

    def ece(scores: Any) -> float:
        return 100 * float(scores["calibration"]["ece"])

    def more_nll(name: str, than: str) -> str:
        found = [
            means(each, lambda scores: scores["calibration"]["nll_bits"]) for each in (name, than)
        ]
        gaps = list(map(sub, *found))
        return f"{min(gaps):.2f} to {max(gaps):.2f}"

    errors = {name: listed(means(name, ece)) for name in results.methods}
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
    assert f"confident enough (ECE {errors['labo']} %)" in page
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
    without_seed_1 = [statistics.fmean(_gains(results, name, "test")[1:]) for name in names]
    assert f"differences on 2016 are {listed(without_seed_1, '+', 2)}, in" in page
    worse = list(map(sub, means("labo", ece), means("label_smoothing", ece)))
    assert sum(each > 0 for each in worse) == 2 and "worse calibrated on two of three" in page
    lowest = {
        test: min((each.p_corrected, name) for name, each in results.differences[test].items())
        for test in ("test", "test1")
    }
    assert {name for _, name in lowest.values()} == {"cross_entropy"}
    of_2016, of_2017 = (p for p, _ in lowest.values())
    said = f"entropy's, which is below it: {of_2016:.2f} on 2016 and {of_2017:.3f} on 2017"
    assert of_2016 > 0.05 and said in page
    of_default = [results.differences[test]["labo_default"] for test in tables.TESTS]
    intervals = ", ".join(f"{each.low:+.2f} to {each.high:+.2f}" for each in of_default)
    assert (
        f"{default} BLEU from label smoothing (95 %, over seeds and sentences: {intervals})" in page
    )
    more = list(map(sub, means("labo_default", ece), means("label_smoothing", ece)))
    assert (
        f"{more_nll('label_smoothing', 'labo_default')} bits less NLL and ECE {min(more):.1f} to "
        f"{max(more):.1f} points higher, of which the seeds' intervals exclude 0 for ECE on 2017"
    ) in page
    excluded = set()
    for test in tables.TESTS:
        for key in ("nll_bits", "ece"):
            _, low, high = over_seeds(_gains(results, "labo_default", test, key))
            if low * high > 0:
                excluded.add((test, key))
    assert excluded == {("test1", "ece")}
    short = f"on 2016, 95 % over seeds and sentences: {of.low:+.1f} to {of.high:+.1f} BLEU, with "
    short += f"the defaults {of_default[0].low:+.1f} to {of_default[0].high:+.1f}; English to "
    short += "German, three seeds, "
    other = tables.study("multi30k-en-de-finals").differences["test"]["labo"]
    short += f"{other.low:+.1f} to {other.high:+.1f}:"
    assert short in words(REPOSITORY / "README.md")
    assert f"when long {more_nll('cross_entropy', 'label_smoothing')} less" in page
    assert f"{more_nll('labo', 'label_smoothing')} bits more NLL than that" in page
    in_all = statistics.fmean(means("label_smoothing", ece))  # beside the attempt that failed
    assert f"{errors['label_smoothing']} % in the finals, {in_all:.1f} % in the mean" in page


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
            factor * statistics.fmean(_gains(results, name, test, key))
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
        "power of 80 %: three",
        f"{min(nll):.2f} to {max(nll):.2f} bits more NLL",
        f"an ECE {min(ece[:4]):.1f} to {max(ece[:4]):.1f} points higher (on COCO {ece[4]:+.1f} and "
        f"{ece[5]:+.1f})",
        f"(En-De, three seeds: {first}, within chance)",
        f"(En-De, three seeds: {second}, within chance)",
        f"it is {first.replace('+', '')} BLEU above label smoothing on the three tests, within",
    ):
        assert text in page


def test_the_sentences_on_r_drop_hold() -> None:
    """Its seeds, beside the same ones of label smoothing; why, after one, two others went on."""
    runs = tables.RESULTS / "studies" / "multi30k-de-en-finals" / "runs"
    seeds = sorted(path.name for path in (runs / "rdrop").iterdir())
    count = ["no", "one", "two", "three", "four"][len(seeds)]

    def of_seeds(method: str, test: str) -> list[dict[str, Any]]:
        folders = [runs / method / seed / f"{test}-scores" for seed in seeds]
        return [read_json(folder / "scores.json") for folder in folders]

    def means_of(method: str, value: Callable[[Any], float]) -> list[float]:
        of_tests = [of_seeds(method, test) for test in tables.TESTS]
        return [statistics.fmean(map(value, each)) for each in of_tests]

    bleu, of_smoothed, nll, nll_of_smoothed = (
        means_of(method, value)
        for value in (
            lambda scores: scores["bleu"]["score"],
            lambda scores: scores["calibration"]["nll_bits"],
        )
        for method in ("rdrop", "label_smoothing")
    )
    more = list(map(sub, nll, nll_of_smoothed))
    errors = listed(means_of("rdrop", lambda scores: 100 * scores["calibration"]["ece"]))
    page = words(REPOSITORY / "docs" / "results.md")
    assert (
        f"long, {count} seeds of five, in no table: {listed(bleu)} BLEU, "
        f"{listed(map(sub, bleu, of_smoothed), '+')} from label smoothing with those seeds, "
        f"{min(more):.2f} to {max(more):.2f} bits more NLL; ECE {errors} %"
    ) in page
    assert f"Not done yet: R-Drop, but for {count} seeds." in page
    assert f"(R-Drop has {count}, not shown)" in words(REPOSITORY / "README.md")
    (of_first, *_) = (each["bleu"]["score"] for each in of_seeds("rdrop", "test"))
    means = {
        name: statistics.fmean(run.scores["test"]["bleu"]["score"] for run in of_method)
        for name, of_method in tables.study("multi30k-de-en-finals").methods.items()
        if name not in ("label_smoothing", "labo_default")
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
    assert f"50 BLEU is {min(gains):.1f} to {max(gains):.1f} above that with 5, and" in page
    assert f"are shorter by {max(shorter):.3f} of the" in page
    below = f"(with 20 BLEU is as much as {-min(of_20):.1f} below, and they are shorter by "
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
        for runs in results.methods.values():
            bleu = [run.scores[test]["bleu"] for run in runs]
            parts = [re.findall(r"[\d.]+", each["text"].partition(" = ")[2]) for each in bleu]
            right = [statistics.geometric_mean(map(float, part[1:5])) for part in parts]
            lengths_of = [re.findall(r"_len = (\d+)", each["text"]) for each in bleu]
            ratios = [int(ours) / int(theirs) for ours, theirs in lengths_of]
            said.setdefault(f"{test} n-grams", []).append(statistics.fmean(right))
            said.setdefault(f"{test} length", []).append(statistics.fmean(ratios))
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
    penalty, whole = map(sub, of_test["label_smoothing"], of_test["cross_entropy"])
    assert (
        f"({100 * penalty / whole:.0f} % of its distance from label smoothing, in the logarithm of "
        f"BLEU): its translations have {length} of the references' length, the others {lengths}, "
        f"and of its n-grams almost as many are right (geometric mean of the precisions {right} %, "
        f"the others {of_others} %). On 2017 fewer are ({fewer} %, the others {more} %)."
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
