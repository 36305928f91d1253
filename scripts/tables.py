"""Fill the tables of README and docs from results/, so that no number there can drift.

    python -m scripts.tables [--check]

A table stands between ``<!-- table: NAME ARGUMENT ... -->`` and ``<!-- end -->``; NAME is a key of
`TABLES`. With --check nothing is written: status 1, and the files' names, where a table differs.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from fairseq_labo.experiments.studies import report_tables
from fairseq_labo.experiments.studies.differences import over_seeds
from fairseq_labo.experiments.studies.report_tables import Cell, interval, mean, measure, score
from fairseq_labo.experiments.studies.results import (
    Results,
    mean_with_deviation,
    read_results,
)
from fairseq_labo.experiments.training.log import parse_report
from scripts import benchmark_tables
from scripts.benchmark_tables import REPOSITORY, RESULTS, load, markdown

MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
# Tests of the studies as they are called in the documents.
YEARS = {"test": "2016", "test1": "2017"}
TESTS = {**YEARS, "test2": "COCO"}
NAMES = {"labo": "LABO", "label_smoothing": "label smoothing", "cross_entropy": "cross entropy"}
PAIRS = [("labo", "label_smoothing"), ("label_smoothing", "cross_entropy")]
PAIRS += [("labo", "cross_entropy")]


def document_files() -> list[Path]:
    """README, every page of docs/, and the reports of attempts that failed."""
    pages = sorted((REPOSITORY / "docs").rglob("*.md"))
    return [REPOSITORY / "README.md", *pages, *sorted(RESULTS.glob("attempts/*/report.md"))]


def filled(text: str) -> str:
    """The text with every marked table made anew; KeyError for a name that is not known."""

    def fill(found: re.Match[str]) -> str:
        name, *arguments = found[2].split()
        return f"{found[1]}{TABLES[name](*arguments)}\n{found[3]}"

    return MARKED.sub(fill, text)


def study(name: str) -> Results:
    """The results of a study."""
    return read_results(RESULTS / "studies" / name / "results.json")


def label(train_arguments: Sequence[str]) -> str:
    """A method as its training's flags name it."""
    flags = dict(pairwise(train_arguments))
    updates = int(flags.get("--smoothing-updates", 0))
    of = int(flags.get("--max-update", 0))
    alpha, beta = flags.get("--label-smoothing"), flags.get("--labo-beta")
    labo = f"LABO, α = {alpha}, β = {beta}" if beta != "inf" else f"label smoothing, α = {alpha}"
    labo += ", prior of the target side" if flags.get("--label-prior") == "target" else ""
    return {
        "cross_entropy": "cross entropy",
        "label_smoothed_cross_entropy": f"label smoothing, ε = {alpha}",
        "labo_cross_entropy_with_rdrop": f"R-Drop, weight {flags.get('--rdrop-alpha')}, {labo}",
        "tsla_cross_entropy": f"TSLA, switch after {updates:,} of {of:,} updates",
        "labo_cross_entropy": labo if alpha != "0" else "cross entropy",
    }[flags["--criterion"]]


def of_study(name: str, columns: dict[str, Cell]) -> str:
    """One row a method."""
    rows = [
        [label(runs[0].train_arguments), *(cell(runs) for cell in columns.values())]
        for runs in study(name).methods.values()
    ]
    return markdown(["mean ± standard deviation over seeds", *columns], rows)


def on_tests(tests: dict[str, str]) -> dict[str, Cell]:
    """BLEU on each test set; NLL and ECE on that of 2016."""
    columns = {f"BLEU {title}": score(test, "bleu") for test, title in tests.items()}
    columns["NLL 2016 (bits)"] = measure("test", "nll_bits", 3)
    return {**columns, "ECE 2016 (%)": measure("test", "ece", 2, 100)}


def table_multi30k(name: str) -> str:
    """`on_tests`: of 2016 and 2017."""
    return of_study(name, on_tests(YEARS))


def table_iwslt(name: str) -> str:
    """BLEU in the convention of fairseq's recipe and sacreBLEU's, NLL, ECE."""
    return of_study(
        name,
        {
            "BLEU of tokens, lowercase": score("test", "bleu_tokenized_lowercase"),
            "sacreBLEU": score("test", "bleu"),
            "NLL (bits)": measure("test", "nll_bits", 3),
            "ECE (%)": measure("test", "ece", 2, 100),
        },
    )


def table_beams(name: str, test: str) -> str:
    """Score and length ratio with each width of the search, as in the study's report."""
    table = report_tables.beams(study(name), test)
    return markdown(table.header, table.rows)


def table_cost(name: str) -> str:
    """Speed and host memory of a study's trainings."""
    columns = {
        "words/s": mean(lambda run: run.words_per_second, 0),
        "peak host memory (MiB)": mean(lambda run: run.trained["peak_memory_mib"], 0),
    }
    return of_study(name, columns)


def columns() -> dict[str, tuple[Results, str]]:
    """The test sets of three studies side by side: each one's results and subset, by its title."""
    studies = {name: study(f"multi30k-{name}") for name in ("de-en", "en-de")}
    found = {
        f"{name.title()} {year}": (results, test)
        for name, results in studies.items()
        for test, year in YEARS.items()
    }
    return {**found, "TED-15k De-En": (study("iwslt14-15k-de-en"), "test")}


def table_summary() -> str:
    """BLEU of three studies side by side; of TSLA the setting that all of them have."""
    shown, rows = columns(), dict[str, dict[str, str]]()
    for column, (results, test) in shown.items():
        for method, runs in results.methods.items():
            if method != "tsla_early":
                row = rows.setdefault(label(runs[0].train_arguments), {})
                row[column] = score(test, "bleu")(runs)
    cells = [[method, *(row.get(each, "–") for each in shown)] for method, row in rows.items()]
    return markdown(["BLEU", *shown], cells)


def table_differences() -> str:
    """BLEU of a method less another's with the same seed: mean, half of the 95 % interval."""
    rows = []
    for one, other in PAIRS:
        cells = []
        for results, test in columns().values():
            scores = [
                [run.scores[test]["bleu"]["score"] for run in results.methods[name]]
                for name in (one, other)
            ]
            each = [ours - theirs for ours, theirs in zip(*scores, strict=True)]
            middle, low, _ = over_seeds(each)
            cells.append(f"{middle:+.2f} ± {middle - low:.2f}")
        rows.append([f"{NAMES[one]} − {NAMES[other]}", *cells])
    return markdown(["difference in BLEU", *columns()], rows)


def table_intervals(name: str) -> str:
    """One row a method: mean differences from the baseline, 95 % intervals, corrected p."""
    results = study(name)
    baseline, rows = results.methods[results.baseline], []
    titles = {"test": "TED"} if results.corpus.name.startswith("iwslt") else TESTS
    first, of_first = results.tests[0], titles[results.tests[0]]
    for method, runs in results.methods.items():
        if method != results.baseline:
            found = [results.differences[test][method] for test in results.tests]
            cells = [
                f"{each.difference:+.2f} ({each.low:+.2f} to {each.high:+.2f})" for each in found
            ]
            p = found[0].p_corrected
            cells.append(f"{p:.2f}" if p >= 0.01 else f"{p:.1g}")
            cells += [
                interval(runs, baseline, first, "nll_bits", 3),
                interval(runs, baseline, first, "ece", 2, 100),
            ]
            rows.append([label(runs[0].train_arguments), *cells])
    columns = [f"BLEU {titles[test]}" for test in results.tests]
    columns += [f"p, {of_first}, corrected", f"NLL {of_first} (bits)", f"ECE {of_first} (points)"]
    return markdown([f"difference from {label(baseline[0].train_arguments)}", *columns], rows)


def table_headline(name: str) -> str:
    """The first table of a study's report."""
    table = report_tables.headline(study(name), "test")
    return markdown(table.header, table.rows)


def table_search(name: str) -> str:
    """One row a setting of the search (and of its seeds, if there are several)."""
    rows = []
    for folder in sorted((RESULTS / "studies" / name / "search").glob("*/*")):
        setting = dict(part.split("=") for part in folder.name.split(","))
        scores = [load(path) for path in sorted(folder.glob("*.json"))]  # of each seed
        calibrations = [each["calibration"] for each in scores]
        rows.append(
            [
                f"TSLA, switch after {int(setting['smoothing_updates']):,} of 4,000 updates"
                if "smoothing_updates" in setting
                else f"LABO, α = {setting['label_smoothing']}, β = {setting['labo_beta']}",
                mean_with_deviation([each["bleu"]["score"] for each in scores], 2),
                mean_with_deviation([each["nll_bits"] for each in calibrations], 3),
                mean_with_deviation([100 * each["ece"] for each in calibrations], 1),
            ]
        )
    return markdown(["validation set", "BLEU", "NLL (bits)", "ECE (%)"], rows)


def label_entropy(record: Path) -> float:
    """Entropy of the smoothing distribution in bits, as a run's last validation has logged it."""
    lines = (record / "train.log").read_text(encoding="utf-8").splitlines()
    *_, last = (values for kind, values in map(parse_report, lines) if kind == "valid")
    return float(last["valid_label_entropy"])


def table_records(name: str) -> str:
    """One row a recorded run, on the validation set: of a study that is not done yet."""
    found = {}
    for path in (RESULTS / "studies" / name / "runs").rglob("config.json"):
        config, scores = load(path), load(path.parent / "valid-scores" / "scores.json")
        alpha, beta = (
            float(config["setting"].get(key, "inf")) for key in ("label_smoothing", "labo_beta")
        )
        of = scores["calibration"]
        cells = [
            f"{scores['bleu']['score']:.2f}",
            f"{of['nll_bits']:.3f}",
            f"{100 * of['ece']:.2f}",
            f"{label_entropy(path.parent):.2f}" if alpha else "–",
        ]
        found[alpha > 0, -beta, alpha] = [label(config["train"]), *cells]
    return markdown(
        ["validation set, seed 1", "BLEU", "NLL (bits)", "ECE (%)", "entropy of P (bits)"],
        [found[key] for key in sorted(found)],
    )


def table_finals(name: str) -> str:
    """`on_tests`, of all three; length on the first."""
    return of_study(name, {**on_tests(TESTS), "length 2016": report_tables.length("test", "bleu")})


def table_attempt(name: str) -> str:
    """One row a seed of an attempt that failed: how well calibrated it is on each set."""
    sets = {"valid": "validation", **TESTS}
    rows = []
    for folder in sorted((RESULTS / "attempts" / name).glob("seed-*")):
        scores = [load(folder / f"{each}-scores" / "scores.json") for each in sets]
        of = [each["calibration"] for each in scores]
        gaps = [100 * (each["confidence"] - each["accuracy"]) for each in of]
        cells = [
            f"{gap:+.2f} / {100 * each['ece']:.2f}" for gap, each in zip(gaps, of, strict=True)
        ]
        mean_ece = sum(each["ece"] for each in of[1:]) / len(of[1:])
        bleu, seed = scores[0]["bleu"]["score"], folder.name.removeprefix("seed-")
        rows.append([seed, f"{bleu:.2f}", *cells, f"{100 * mean_ece:.2f}"])
    gaps_of = [f"gap / ECE, {each} (%)" for each in sets.values()]
    return markdown(["seed", "BLEU, validation", *gaps_of, "ECE, mean of tests (%)"], rows)


def table_demo() -> str:
    """The demo's runs, a seed each."""
    names = ("cross", "label_smoothed_cross", "tsla_cross", "labo_cross")
    runs = {f"{name}_entropy": load(f"demo-microworld/{name}_entropy.json") for name in names}
    rows = [
        [f"`{name}`", f"{run['bleu']['score']:.2f}", f"{run['calibration']['nll_bits']:.3f}"]
        for name, run in runs.items()
    ]
    return markdown(["criterion", "BLEU", "NLL (bits per token)"], rows)


def table_conventions() -> str:
    """Every score of the demo's LABO model with its signature."""
    scores = load("demo-microworld/labo_cross_entropy.json")
    rows = [
        [
            f"`{key}`: {each['label']}",
            f"{each['score']:.2f}",
            f"`{each['signature']}`".replace("|", "\\|"),
        ]
        for key, each in scores.items()
        if isinstance(each, dict) and "signature" in each
    ]
    return markdown(["score", "value", "signature"], rows)


def table_digits() -> str:
    """`examples/digits.py`: test accuracy and NLL."""
    rows = [
        [
            name,
            f"{each['accuracy_mean']:.2f} ± {each['accuracy_std']:.2f}",
            f"{each['nll_mean']:.4f} ± {each['nll_std']:.4f}",
        ]
        for name, each in load("digits/digits.json")["summary"].items()
    ]
    return markdown(["method", "test accuracy (%)", "test NLL (nats)"], rows)


TABLES: dict[str, Callable[..., str]] = {
    "summary": table_summary, "differences": table_differences, "beams": table_beams,
    "records": table_records, "finals": table_finals, "intervals": table_intervals,
    "attempt": table_attempt,
    "multi30k": table_multi30k, "iwslt": table_iwslt, "search": table_search, "cost": table_cost,
    "demo": table_demo, "digits": table_digits, "headline": table_headline,
    "conventions": table_conventions, **benchmark_tables.TABLES,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None, *, files: Sequence[Path] | None = None) -> int:
    """Write the tables, or with --check say which files would change; the exit status."""
    parser = argparse.ArgumentParser("python -m scripts.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 on a change")
    options = parser.parse_args(arguments)
    changed = False
    for path in document_files() if files is None else files:
        before = path.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            changed = True
            print(f"{path}: {'drifted from results/' if options.check else 'written'}")
            if not options.check:
                path.write_text(after, encoding="utf-8")
    return int(changed and options.check)


if __name__ == "__main__":
    sys.exit(main())
