"""fairseq-generate in this process: its flags, its output parted, its failures."""

import io
import logging
import re
from pathlib import Path

import pytest

from fairseq_labo.defaults import USER_DIR
from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.generation import (
    _logged_to,
    _Output,
    arguments,
    check_passed_on,
)
from fairseq_labo.experiments.evaluation.lengths import Fit

FIT = Fit((), {}, 4000)


def test_flags(toy_corpus: Path) -> None:
    command = ["evaluate", "--data", str(toy_corpus), "--checkpoint", "m.pt"]
    corpus = PreparedCorpus.read(toy_corpus)
    options = cli.parse([*command, "--beam", "4", "--lenpen", ".6", "--cpu", "--", "--nbest", "2"])
    flags = " ".join(arguments(options, corpus, Path("m.pt"), FIT))
    assert flags.startswith(f"{toy_corpus / 'bin'} --user-dir {USER_DIR} --path m.pt ")
    assert "--gen-subset test --beam 4 --lenpen 0.6 --max-len-a 1.2 --max-len-b 10 " in flags
    assert "--max-tokens 4000 " in flags and "--required-batch-size-multiple 1 " in flags
    assert flags.endswith(" --post-process subword_nmt --cpu --nbest 2")
    assert "--cpu" not in arguments(cli.parse(command), corpus, Path("m.pt"), FIT)


@pytest.mark.parametrize(
    ("flag", "ours"),
    [
        ("--path=b.pt", "--checkpoint b.pt"),
        ("--gen-subset valid", "--subset valid"),
        ("--beam 1", "--beam 1"),
        ("--lenpen=0", "--lenpen 0"),
        ("--max-tokens 99", "--max-tokens 99"),
    ],
)
def test_another_model_or_subset_behind_the_dashes_is_refused(
    flag: str, ours: str, toy_corpus: Path
) -> None:
    """Its BLEU would stand beside the NLL, and under the setting, of the one that was given."""
    command = ["evaluate", "--data", str(toy_corpus), "--checkpoint", "m.pt", "--", *flag.split()]
    with pytest.raises(UserError, match=f"give {ours}$"):
        check_passed_on(cli.parse(command))


@pytest.mark.parametrize(
    "flag", ["--score-reference", "--prefix-size 3", "--quiet", "-s uk", "--results-path=x"]
)
def test_what_is_no_translation_of_the_subset_is_refused(flag: str, toy_corpus: Path) -> None:
    """Of the references fairseq-generate finds a BLEU of 100."""
    command = ["evaluate", "--data", str(toy_corpus), "--checkpoint", "m.pt", "--", *flag.split()]
    with pytest.raises(UserError, match=rf"^{flag.split('=')[0].split()[0]}: expected a translati"):
        check_passed_on(cli.parse(command))


@pytest.mark.parametrize("flag", ["--tokenizer moses", "--bpe=subword_nmt", "--remove-bpe"])
def test_how_words_are_parted_is_the_corpus_matter(flag: str, toy_corpus: Path) -> None:
    command = ["evaluate", "--data", str(toy_corpus), "--checkpoint", "m.pt", "--", *flag.split()]
    with pytest.raises(UserError, match=rf"{flag[:5]}.*: expected none, .* --subwords and"):
        check_passed_on(cli.parse(command))


def test_paths_that_fairseq_would_read_otherwise(toy_corpus: Path) -> None:
    """As two checkpoints, or as the name of a value."""
    options = cli.parse(["evaluate", "--data", str(toy_corpus), "--checkpoint", "m.pt"])
    with pytest.raises(UserError, match=r"a\$\{b\}/m\.pt: expected a path without \$\{, which"):
        arguments(options, PreparedCorpus.read(toy_corpus), Path("a${b}/m.pt"), FIT)
    with pytest.raises(UserError, match=r"a:b/m\.pt: expected a path without a colon"):
        arguments(options, PreparedCorpus.read(toy_corpus), Path("a:b/m.pt"), FIT)


def test_user_dir_is_the_plugin() -> None:
    assert (USER_DIR / "criterions" / "labo_cross_entropy.py").is_file()


def test_output_is_parted(capsys: pytest.CaptureFixture[str]) -> None:
    results, log = io.StringIO(), io.StringIO()
    stream = _Output(results, log, expected=2)
    texts = ("T-0\tein", " Hund\nD-0\t-1\ta\nD-0\t-2\tb\nGenerate", " test\nT-1\t\n", "rest")
    for text in texts:
        stream.write(text)
    stream.show()
    assert results.getvalue() == "T-0\tein Hund\nD-0\t-1\ta\nD-0\t-2\tb\nT-1\t\n"
    assert log.getvalue() == "Generate test\n"
    assert "translated 2 of 2 sentences" in capsys.readouterr().err


def test_loggers_are_left_as_they_were() -> None:
    logger, root = logging.getLogger("fairseq"), logging.getLogger()
    before = logger.level, logger.propagate, list(logger.handlers), list(root.handlers)
    log = io.StringIO()
    with _logged_to(log):
        logging.getLogger("fairseq.tasks").info("of fairseq")
        logging.getLogger("other").error("of others")
        logging.getLogger("other").debug("too much")
        assert root.handlers  # or logging.basicConfig would add one
    logger.warning("too late")
    assert "INFO | fairseq.tasks | of fairseq" in log.getvalue()
    assert "ERROR | other | of others" in log.getvalue()
    assert log.getvalue().count("\n") == 2
    assert (logger.level, logger.propagate, list(logger.handlers), list(root.handlers)) == before


@pytest.mark.slow
def test_a_failing_generation_shows_its_end(
    trained: Path, toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = '{"generation": {"beam": 5}}'
    (tmp_path / "scores.json").write_text(earlier, encoding="utf-8")
    command = ["evaluate", "--data", toy_corpus, "--checkpoint", trained / "checkpoint_best.pt"]
    command += ["--output", tmp_path, "--", "--nonsense"]
    assert cli.main(list(map(str, command))) == 1
    said = capsys.readouterr().err
    assert re.search(r"fairseq-generate failed, .*--nonsense.*; its output: .*generate.log", said)
    assert "Traceback" not in said
    assert (tmp_path / "scores.json").read_text(encoding="utf-8") == earlier
