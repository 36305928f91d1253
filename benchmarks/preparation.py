"""How fast the stages are on this machine, and what WMT'14 would take.

`python -m benchmarks.preparation --de FILE --en FILE --destdir DIR` makes pairs of about the
length of WMT'14's by joining neighbouring ones of real text, prepares them by WMT'14's recipe, and
prints for each stage the time on the clock and of processors, and lines per processor second,
which other work on the machine disturbs less. The projection is linear in the lines; learning BPE
is not (it grows with the distinct words), so it is listed as measured and left out of the total.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, cycle, islice
from pathlib import Path

from fairseq_labo.experiments.console import format_table
from fairseq_labo.experiments.data import binarize
from fairseq_labo.experiments.data.corpora import CORPORA
from fairseq_labo.experiments.data.locate import locate
from fairseq_labo.experiments.data.recipe import Counts, Member, Part
from fairseq_labo.experiments.data.stages import Seconds, StageRunner
from fairseq_labo.experiments.data.steps import Job, build_stages
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import locked, read_lines, write_lines

WMT14_LINES = 2 * 4_520_620
NOT_LINEAR = "learn BPE"
TEST_LINES = 1_000


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.preparation", allow_abbrev=False)
    add = parser.add_argument
    for lang in ("de", "en"):
        add(f"--{lang}", type=Path, action="append", required=True, metavar="FILE")
    add("--destdir", type=Path, required=True, metavar="DIR")
    add("--lines", type=int, default=200_000, metavar="N", help="of both sides")
    add("--join", type=int, default=2, metavar="N", help="sentences to a line")
    add("--workers", type=int, default=1, metavar="N")
    args = parser.parse_args(argv)
    print(measure(args))


def measure(args: argparse.Namespace) -> str:
    """Prepare the text and return the table of its stages."""
    binarize.ensure_fairseq()
    text = args.destdir / "text"
    text.mkdir(parents=True, exist_ok=True)
    for lang, files in (("de", args.de), ("en", args.en)):
        sentences = cycle(chain.from_iterable(map(read_lines, files)))
        lines = [" ".join(islice(sentences, args.join)) for _ in range(args.lines // 2)]
        write_lines(text / f"train.{lang}", lines)
        write_lines(text / f"test.{lang}", lines[:TEST_LINES])
    recipe = CORPORA["wmt14"].corpus(argparse.Namespace(pair="de-en", news_commentary="v9"))
    parts = {name: Part(name, (Member(f"{name}.{{lang}}"),)) for name in ("train", "test")}
    at_hand = {path.name: path for path in text.iterdir()}
    corpus = replace(recipe, parts=parts, counts=Counts(), at_hand=at_hand)
    destdir = args.destdir / "prepared"
    with locked(destdir, name="work/lock"):
        runner = StageRunner(destdir, force=True)
        located = locate(corpus, destdir)
        runner.run(build_stages(Job(corpus, located, destdir, args.workers, accept_counts=True)))
    return report(runner.seconds, lines=args.lines)


def report(seconds: dict[str, Seconds], *, lines: int) -> str:
    """Return the table for stages that took `seconds` on `lines` lines."""
    rows = [["stage", "clock s", "CPU s", "lines / CPU s", "WMT'14, CPU minutes"]]
    minutes = {name: WMT14_LINES / lines * cpu / 60 for name, (_, cpu) in seconds.items()}
    minutes.pop(NOT_LINEAR, None)
    for name, (wall, cpu) in seconds.items():
        projected = f"{minutes[name]:.1f}" if name in minutes else "-"
        speed = f"{lines / max(cpu, 0.01):,.0f}"
        rows.append([name, f"{wall:.1f}", f"{cpu:.1f}", speed, projected])
    rows.append(["all but learning BPE", "", "", "", f"{sum(minutes.values()):.1f}"])
    return format_table(rows, left_columns=1)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
