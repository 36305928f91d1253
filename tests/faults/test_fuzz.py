"""Options of every command, drawn from its own parser: whatever they are, no traceback.

``pytest tests/faults/test_fuzz.py --soak 10000`` draws so many, and others at each call.
"""

import argparse
import itertools
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.training.flags import KINDS, Flag
from tests.faults.conftest import Sandbox

EXAMPLES = 1000  # of all commands together
# Commands have more or fewer options, and prepare as many parsers as there are corpora.
SHARES = {"prepare": 0.3, "train": 0.2, "evaluate": 0.15, "compare": 0.1, "inspect": 0.1,
          "benchmark": 0.05, "demo": 0.1}  # fmt: skip

OFTEN = {"valid", "test", "destdir"}  # given almost always, like what is required
# What begins with @ is a file or folder of the sandbox.
GOOD = {
    "data": ["@corpus", "@corpus", "@bin"], "destdir": ["@new", "@corpus", "@folder"],
    "save_dir": ["@new", "@save"], "checkpoint": ["@save/checkpoint_best.pt", "@save"],
    "output": ["@new", "@folder"], "study": ["@study.yaml", "microworld"],
    "from_results": ["@results.json"], "records": ["@new", "@folder"],
    "train": ["@text/train"], "valid": ["@text/valid"], "test": ["@text/test"],
    "sources": ["@text/test.de"], "source_dir": ["@text"],
    "references": ["@text/test.en", "test=@text/test.en"], "archive": ["@text/train.de"],
    "teacher_path": ["@save/checkpoint_last.pt"], "comet": ["@empty"], "pair": ["de-en"],
    "figure": ["@new.png", "@new"], "subset": ["test", "valid"], "master": ["localhost:1", "h"],
    "criterion": ["cross_entropy", "tsla_cross_entropy"], "sentences": ["0,1", "2"],
    "source": ["ein Hund"], "target": ["a dog"], "beta": ["2", "inf"], "split": ["3"],
    "criterions": ["labo_cross_entropy"], "only": ["labo/*"], "name": ["n"], "ratio": ["2"],
}  # fmt: skip
PATHS = """
@corpus @bin @save @save/checkpoint_last.pt @text @text/train @text/train.de @study.yaml
@results.json @empty @random @folder @new @new/below @empty/below @dangling @loop @unreadable
@with,comma @with%percent @-dash @ü @{corpus} /dev/null /dev/null/x /proc/nothing . .. / ~
"""
ODD_PATHS = ["", "@with space", "@with\nline", "@with\x1b[31m", "@\u202eleft", "@\udcff",
             "@" + "x" * 300, "@" + "y/" * 3000]  # fmt: skip
NUMBERS = """
0 1 2 3 -1 -2 -0 0.5 1.5 1e400 -1e400 nan NaN inf -inf Infinity 1e-320 1e308 3.0 1,5 1_0 0x10 007
+1 1e3 2147483647 2147483648 9223372036854775808 ٣ ½ None true
"""
ODD_NUMBERS = ["9" * 30, "-" + "9" * 30, "9" * 5000, " 1", "1\n", "1 2"]
TEXTS = """
-- - --help -x a,b ../x {corpus} {0} %s %(default)s é 🦄 $HOME * [ ] test test1 train valid de-de
xx-yy a-b-c !!python/object:x =x x= == ' "
"""
ODD_TEXTS = ["\x1b[2J", "\u202e", "\udcff", "", " ", "\n", "\t\r", "\x85", "\u2028", "a" * 300,
             "b" * 5000]  # fmt: skip
# Surrogates only of the kind that stands for a byte which is no UTF-8 on a command line.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PASSED_ON = """
--lr 1e-3 --max-update 3 --user-dir @folder --user-dir @missing --update-freq 0 --max-tokens x
--max-tokens 0 --restore-file @empty --cpu --beam -1 --patience nan --no-such-flag --path @random
"""


def bad_values() -> st.SearchStrategy[str]:
    """What is no value of most options."""
    plain = (PATHS.split(), NUMBERS.split(), TEXTS.split(), ODD_PATHS, ODD_NUMBERS, ODD_TEXTS)
    given = [st.sampled_from(values) for values in plain]
    return st.one_of(*given, st.text(CHARACTERS, max_size=12), st.integers().map(str))


def good_values(action: argparse.Action) -> st.SearchStrategy[str]:
    """What the option may well be."""
    flag = action.type.func.__self__ if isinstance(action.type, partial) else None
    flag = flag if isinstance(flag, Flag) else None
    if choices := action.choices or (flag and flag.choices):
        return st.sampled_from([str(choice) for choice in choices])
    if action.dest in GOOD:
        return st.sampled_from(GOOD[action.dest])
    kind = flag.kind if flag else action.type
    if kind is bool:
        return st.sampled_from(["true", "false"])
    if kind is float:
        return st.sampled_from(["0.1", "1", "0"])
    return st.sampled_from(["1", "2", "5", "60"] if kind in KINDS and kind is not str else ["x"])


@st.composite
def option(draw: st.DrawFn, action: argparse.Action, *, bad: bool) -> list[str]:
    """The words of one option, with a value or none."""
    name = draw(st.sampled_from(action.option_strings)) if action.option_strings else None
    if action.nargs == 0:
        return [name or ""]
    count = draw(st.integers(0, 3)) if action.nargs in ("+", "?") else 1
    values = [draw(bad_values() if bad else good_values(action)) for _ in range(count)]
    if name is None or count != 1 or draw(st.booleans()):
        return [name, *values] if name else values
    return [f"{name}={values[0]}"]


@st.composite
def words_of(draw: st.DrawFn, name: str) -> list[str]:
    """A command line: the required options mostly, others at random, up to two values bad."""
    words, parser = [name], cli.parser_of(name)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers = dict(action.choices.items())
            corpus = draw(st.sampled_from([*parsers, "own", "own", "own", "microworld"]))
            words, parser = [name, corpus], parsers[corpus]
    actions = [action for action in parser._actions if action.dest not in ("help", "corpus")]
    actions += [action for action in parser._actions if action.dest == "corpus" and action.choices]
    wanted = [each for each in actions if each.required or each.dest in OFTEN]
    others = [action for action in actions if action not in wanted]
    chosen = [each for each in wanted if draw(st.integers(0, 11))]
    chosen += draw(st.lists(st.sampled_from(others), max_size=5))
    bad = draw(st.sets(st.integers(0, len(chosen)), max_size=2))
    parts = [draw(option(each, bad=place in bad)) for place, each in enumerate(chosen)]
    parts = draw(st.permutations(parts)) if draw(st.booleans()) else parts
    words += list(itertools.chain.from_iterable(parts))
    extra = draw(st.sampled_from(["", "", "", "", "", "help", "bad", "passed"]))
    words += ["-h"] * (extra == "help") + [draw(bad_values())] * (extra == "bad")
    if extra == "passed":
        words += [
            "--",
            *draw(st.lists(st.sampled_from(PASSED_ON.split()) | bad_values(), max_size=4)),
        ]
    return words


def placed(word: str, sandbox: Sandbox) -> str:
    """`word` with @name replaced by a path in the sandbox; what must be there is made."""
    head, at, name = word.partition("@")
    if not at:
        return word
    path = sandbox.here / name
    if name.split("/")[0] in ("corpus", "bin", "save", "text", "study.yaml", "results.json"):
        sandbox.place(name)
        if name.startswith("study"):
            sandbox.place("corpus")
    elif name in ("empty", "random"):
        path.write_bytes(bytes(range(256)) * 8 if name == "random" else b"")
    elif name == "folder":
        path.mkdir(exist_ok=True)
    elif name in LINKS and not path.is_symlink():
        path.symlink_to(LINKS[name])
    elif name == "empty/below":
        path.parent.touch()
    return f"{head}{path}"


# The memory of this process at address 0: opens, and fails when it is read, even for root.
LINKS = {"dangling": "nowhere", "loop": "loop", "unreadable": "/proc/self/mem"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("name", cli.COMMANDS)


def test_no_traceback(
    name: str, materials: Path, harmless: None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    soak = request.config.getoption("--soak")
    count = round((soak or EXAMPLES) * SHARES[name])
    statuses: Counter[object] = Counter()
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]

    @settings(
        max_examples=count,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),  # to explain a failure, it would trace every line
        database=None,
        derandomize=not soak,
        suppress_health_check=slow,
    )
    @given(words_of(name))
    def check(words: list[str]) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            sandbox = Sandbox(Path(folder), materials)
            outcome = sandbox.run([placed(word, sandbox) for word in words])
            outcome.check()
            statuses[outcome.status] += 1

    check()
    print(f"{name}: {sum(statuses.values())} command lines, by exit status {dict(statuses)}")
    assert len(statuses) > 1, "not all of them fail alike"
