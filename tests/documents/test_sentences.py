"""What the documents say of results in sentences follows from results/."""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F

from fairseq_labo.ops import labo_targets
from scripts import benchmark_tables, tables
from tests.conftest import REPOSITORY
from tests.documents.seeds import mean_of
from tests.documents.texts import words


def test_the_sentences_on_the_results_hold() -> None:
    """LABO, label smoothing and cross entropy in the three studies: what README and docs say."""
    labo, over_cross_entropy, of_both, calibrated, of_seeds = [], [], [], [], list[float]()
    for results, test in tables.columns().values():
        bleu, ece = (
            {
                method: [value(run.scores[test]) for run in results.methods[method]]
                for method in ("cross_entropy", "label_smoothing", "labo")
            }
            for value in (
                lambda scores: scores["bleu"]["score"],
                lambda scores: 100 * scores["calibration"]["ece"],
            )
        )
        cross_entropy, smoothing, ours = map(statistics.fmean, bleu.values())
        labo.append(abs(ours - smoothing))
        over_cross_entropy.append(smoothing - cross_entropy)
        of_both += [smoothing - cross_entropy, ours - cross_entropy]
        assert ours > cross_entropy
        before, *after = ece.values()
        for each in after:
            of_seeds += (old - new for old, new in zip(before, each, strict=True))
            calibrated.append(statistics.fmean(before) - statistics.fmean(each))

    def span(values: Sequence[float], digits: int = 1) -> str:
        return f"{min(values):.{digits}f} to {max(values):.{digits}f}"

    short, page = (
        words(REPOSITORY / "docs" / f"{name}.md") for name in ("results-short", "results")
    )
    for text in (words(REPOSITORY / "README.md"), short, page):
        assert f"differ by {span(labo)}" in text
    assert f"by {span(calibrated, 0)} points in the mean, with every seed" in short
    assert f"(by {span(of_seeds)})" in short and min(of_seeds) > 0
    assert (
        f"both are {span(of_both)} above cross entropy's, with an ECE {span(calibrated, 0)} points "
        "lower"
    ) in page
    assert f"the mean {span(over_cross_entropy)} BLEU above cross entropy's" in page
    nll = [
        {method: mean_of(results, method, test, "nll_bits") for method in results.methods}
        for name, (results, test) in tables.columns().items()
        if "TED" not in name
    ]
    less = [each["label_smoothing"] - each["cross_entropy"] for each in nll]
    assert len(less) == 4 and f"on Multi30k {span(less, 2)} bits less NLL than label" in page
    microworld = tables.study("microworld")
    best = min(microworld.methods, key=lambda name: mean_of(microworld, name, "test", "ece"))
    assert best == "cross_entropy"  # "the best calibrated"


def test_the_sentences_on_the_map_hold() -> None:
    """The settings, the best, and the means: what docs say of them."""
    results = tables.study("multi30k-de-en-map")
    (none,) = results.search.methods["cross_entropy"]
    found = {
        (float(each.setting["labo_beta"]), float(each.setting["label_smoothing"])): each
        for each in results.search.methods["labo"]
    }
    assert len(found) == 16
    gains = sorted(each.measures["score"] - none.measures["score"] for each in found.values())
    alphas, finite = (0.05, 0.1, 0.2, 0.4), (1.5, 2.0, 4.0)
    means = [
        statistics.fmean(found[beta, alpha].measures["score"] for beta in finite)
        for alpha in alphas
    ]
    smoothing = [found[math.inf, alpha].measures["score"] for alpha in alphas]
    above = [key for key, each in found.items() if each.measures["score"] > max(smoothing)]
    assert sorted(above) == [(2.0, 0.4), (4.0, 0.2), (4.0, 0.4)] and abs(gains[0]) < 0.05
    at_most = [found[beta, 0.1].measures["nll_bits"] for beta in finite]
    lowest = {
        alpha: min(finite, key=lambda beta: found[beta, alpha].measures["nll_bits"])
        for alpha in alphas
    }
    assert [alpha for alpha in alphas if lowest[alpha] == 1.5] == [0.2, 0.4]
    short = words(REPOSITORY / "docs" / "results-short.md")
    assert "on the map only with α = 0.2 and 0.4:" in short
    records = tables.RESULTS / "studies" / "multi30k-de-en-map" / "runs" / "labo"
    of_p = {
        (beta, alpha): tables.label_entropy(
            records / f"labo_beta={beta:g},label_smoothing={alpha:g}" / "seed-1"
        )
        for beta in finite
        for alpha in alphas
    }
    assert all(
        of_p[beta, low] < of_p[beta, high] for beta in finite for low, high in pairwise(alphas)
    )
    lowest_bleu = [found[1.5, alpha].measures["score"] for alpha in (0.05, 0.1)]
    assert lowest_bleu == sorted(each.measures["score"] for each in found.values())[:2]
    both = [list(of_p.values()), [found[key].measures["score"] for key in of_p]]
    deviations = [
        statistics.stdev(run.compared["test"].score for run in runs)
        for name, runs in tables.study("multi30k-de-en-finals").methods.items()
        if name != "rdrop"
    ]
    errors = [math.sqrt(2 / len(finite)) * each for each in deviations]
    page = words(REPOSITORY / "docs" / "results.md")
    for text in (
        f"level with cross entropy, and the others are above it, by {gains[1]:.2f} to "
        f"{gains[-1]:.2f} BLEU",
        "is " + ", ".join(f"{each:.1f}" for each in means[:3]) + f" and {means[3]:.1f} for α",
        f"0.05 to 0.4: {min(smoothing):.1f} to {max(smoothing):.1f}.",
        f"for LABO ({min(at_most):.3f} to {max(at_most):.3f} bits)",
        f"cross entropy has {none.measures['nll_bits']:.3f}.",
        f"0.05 and 0.1: {of_p[1.5, 0.05]:.1f} and {of_p[1.5, 0.1]:.1f} bits), BLEU on the "
        f"validation set was as low as cross entropy's {none.measures['score']:.1f} "
        f"({lowest_bleu[0]:.1f} and {lowest_bleu[1]:.1f}; one run each)",
        f"entropy and BLEU have a correlation of {statistics.correlation(*both):.2f}.",
        f"a rise of {means[-1] - means[0]:.1f}, where the difference of two such means has a "
        f"standard error of {min(errors):.1f} to {max(errors):.1f}",
    ):
        assert text in page


def test_the_sentences_on_the_length_of_a_training_hold() -> None:
    """Beams in the order of the methods; NLL of cross entropy's averaged checkpoints."""
    regime, of_map = (tables.study(f"multi30k-de-en-{name}") for name in ("regime", "map"))
    less = [
        run.beams["valid"][20].score - run.beams["valid"][50].score
        for name in ("cross_entropy", "label_smoothing")
        for run in regime.methods[name]
    ]
    (averaged,) = regime.methods["cross_entropy"]
    nll = averaged.scores["valid"]["calibration"]["nll_bits"]
    (of_11_000,) = of_map.search.methods["cross_entropy"]
    page = words(REPOSITORY / "docs" / "results.md")
    assert f"({less[0]:.2f} and {less[1]:.2f} less at 50)" in page
    assert (
        f"checkpoints averaged {nll:.2f}; of the map's run, after 11,000, "
        f"{of_11_000.measures['nll_bits']:.2f})"
    ) in page


def test_the_sentence_on_the_confidence_penalty_holds() -> None:
    """How far its gradient is from LABO's with β = 1 + δ, for logits of three sizes."""
    generator, weight = torch.Generator().manual_seed(0), 0.1
    deltas = (0.1, 0.01, 1e-3, 1e-4, 1e-6)
    off, of_whole = (dict[float, list[float]]() for _ in range(2))
    for size in (1, 2, 3):
        z = size * torch.randn(64, 5000, generator=generator)
        target = torch.randint(5000, (64,), generator=generator)
        exact = z.double().requires_grad_()
        entropy = torch.special.entr(exact.softmax(-1)).sum()
        (penalty,) = torch.autograd.grad(-weight * entropy, exact)
        (nll,) = torch.autograd.grad(F.cross_entropy(exact, target, reduction="sum"), exact)
        for delta in deltas:
            found = weight / delta * (z.softmax(-1) - labo_targets(z, beta=1 + delta))
            error = (found - penalty).norm()
            off.setdefault(delta, []).append(100 * float(error / penalty.norm()))
            of_whole.setdefault(delta, []).append(100 * float(error / (nll + penalty).norm()))
    first, second, third, fourth, last = (off[delta] for delta in deltas)
    page = words(REPOSITORY / "docs" / "family.md")
    assert (
        f"off by {min(first):.0f} to {max(first):.0f}% at δ = 0.1, by {min(second):.0f} to "
        f"{max(second):.0f}% at 0.01, by {min(third):.1f} to {max(third):.1f}% at 1e-3"
    ) in page
    assert max(fourth) < 0.15 and 2 < min(last) < 10
    assert f"{max(max(of_whole[delta]) for delta in deltas[1:4]):.2f}% and less from" in page


def test_the_sentence_on_the_unigram_prior_holds() -> None:
    """How much is written: sacreBLEU's tokens, means of both seeds."""
    results = tables.study("rivals")

    def written(name: str, key: str = "hyp_len") -> str:
        texts = [run.scores["test"]["bleu"]["text"] for run in results.methods[name]]
        lengths = [int(text.partition(f"{key} = ")[2].split()[0].rstrip(")")) for text in texts]
        return f"{statistics.fmean(lengths):,.0f}"

    page = words(REPOSITORY / "docs" / "family.md")
    assert (
        f"`labo_unigram` writes {written('labo_unigram')} words where the references have "
        f"{written('labo_unigram', 'ref_len')} (label smoothing {written('label_smoothing')}, "
        f"`unigram` {written('unigram')}, `labo_target` {written('labo_target')}; sacreBLEU's"
    ) in page


def test_the_sentence_on_the_upstream_gradient_holds() -> None:
    """128 in the place of 1, with freed memory kept: how times change."""
    rows = benchmark_tables.load("benchmark/cpu-kept-memory.json")["rows"]
    of = {
        (row["provider"], row["beta"], row["vocab_size"], row["upstream"]): row["p50_ms"]
        for row in rows
        if row["mode"] == "both"
    }
    sizes, betas = (7872, 32000), ("2", "2.5", "10000", "inf")

    def more(provider: str, beta: str | None, size: int) -> float:
        return 100 * (of[provider, beta, size, 128] / of[provider, beta, size, 1] - 1)

    most = max(more("labo-torch", beta, size) for beta in betas for size in sizes)
    less, larger = (more("fairseq", None, size) for size in sizes)
    first, second = (
        of["fairseq", None, size, 128] / of["labo-torch", "2", size, 128] for size in sizes
    )
    assert (
        f"takes up to {most:.0f}% more, fairseq's {-less:.0f}% less and {larger:.0f}% more, so "
        f"that at β = 2 ours is {first:.2f} and {second:.2f} times as fast)"
    ) in words(REPOSITORY / "docs" / "performance.md")


def test_the_sentence_on_the_speed_holds() -> None:
    fastest, memory = [], []
    for file, vocab_size in (("cpu-32000", 32000), ("cpu-7872", 7872)):
        rows = benchmark_tables.both_passes(file, vocab_size)
        fairseq, ours = rows[benchmark_tables.PROVIDERS["fairseq"]], rows["ours, β = 2"]
        fastest.append(f"{fairseq['p50_ms'] / ours['p50_ms']:.1f}")
        share = ours["peak_mib_beyond_logits"] / fairseq["peak_mib_beyond_logits"]
        memory.append(f"{100 * share:.0f}")
    page = words(REPOSITORY / "docs" / "performance.md")
    assert f"{' to '.join(fastest)} times as fast as fairseq's label smoothing at β = 2" in page
    assert f"takes {' to '.join(memory)}% of its memory" in page
