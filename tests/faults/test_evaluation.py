"""Evaluation: no score of a model that is not the corpus's, none lost, and errors that help."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.evaluation import evaluate
from fairseq_labo.experiments.files import locked, read_json, read_lines, write_json, write_lines
from tests.faults.evaluations import BEST, SENTENCES, changed, refused, words
from tests.faults.running import Running

EARLIER = {"generation": {"beam": 5}}  # scores of the same setting, as far as they tell


def shuffle(bin_dir: Path) -> None:
    """Other dictionaries of the same size."""
    for path in bin_dir.glob("dict.*.txt"):
        write_lines(path, reversed(list(read_lines(path))))


def turn(state: dict[str, Any]) -> None:
    state["cfg"]["task"].update(source_lang="en", target_lang="de")


def spoil(state: dict[str, Any]) -> None:
    state["model"]["encoder.embed_tokens.weight"][3, 2] = float("nan")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (turn, "found other languages of its training"),
        (lambda state: state["cfg"]["task"].update(_name="denoising"), "found one of denoising"),
        (spoil, "found inf or nan in encoder.embed_tokens.weight"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "inspect"])
def test_a_checkpoint_of_something_else(
    command: str,
    change: Callable[[dict[str, Any]], object],
    found: str,
    corpus: Path,
    save: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = {"corpus": "of the right model"}
    (save / "test-scores").mkdir()
    write_json(save / "test-scores" / "scores.json", right)
    changed(save, change)
    given = words(corpus, save)
    if command == "inspect":
        given = ["inspect", *given[1:-1]]
    assert found in refused(given, capsys)
    assert read_json(save / "test-scores" / "scores.json") == right


def test_a_joined_dictionary_of_the_same_size(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told by the folder of the training, and where that is gone by what labo train recorded."""
    shuffle(corpus / "bin")
    given = words(corpus, save)
    assert "found other dictionaries, by content, of its training" in refused(given, capsys)
    changed(save, lambda state: state["cfg"]["task"].update(data="gone"))
    record = {"corpus": "tiny", "languages": ["de", "en"], "dictionaries": {"de": "x", "en": "x"}}
    write_json(save / "corpus.json", record)
    assert "found other dictionaries, by content, of its training" in refused(given, capsys)


def test_a_direction_that_only_the_data_tells(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """fairseq-train finds the languages by itself, and does not keep them."""
    changed(save, lambda state: state["cfg"]["task"].update(data=str(corpus / "other")))
    (corpus / "other").mkdir()
    for path in (corpus / "bin").iterdir():
        shutil.copyfile(path, corpus / "other" / path.name.replace("de-en", "en-de"))
    assert "found other languages of its training" in refused(words(corpus, save), capsys)


def test_a_dictionary_of_another_size(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(save, lambda state: state["cfg"]["task"].update(data="gone"))
    for path in (corpus / "bin").glob("dict.*.txt"):
        write_lines(path, list(read_lines(path))[:-3])
    said = refused(words(corpus, save), capsys)
    assert "expected a model of the dictionaries of" in said and "symbols of de), found" in said


def test_a_damaged_byte(corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """torch does not look at the checksums in its files."""
    content = bytearray((save / BEST).read_bytes())
    state = torch.load(save / BEST, weights_only=True)
    weight = state["model"]["decoder.embed_tokens.weight"].numpy().tobytes()
    content[content.index(weight) + 5] ^= 1
    (save / BEST).write_bytes(content)
    assert "found damage in " in refused(words(corpus, save), capsys)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("place", ["--output", "--references", "--sources"])
def test_other_kinds_of_file(
    place: str,
    corpus: Path,
    save: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if place == "--output":
        said = refused(words(corpus, save, place, save / BEST), capsys)
        assert str(save / BEST) in said
    elif place == "--sources":
        monkeypatch.setattr(evaluate.comet, "check_comet", lambda model: None)
        said = refused(words(corpus, save, "--comet", "x", place, tmp_path), capsys)
        assert str(tmp_path) in said
    else:
        bare = shutil.copytree(corpus / "bin", tmp_path / "bare")
        flags: list[object] = ["--subwords", "subword-nmt", "--tokenizer", "moses"]
        said = refused(words(bare, save, *flags, "--references", tmp_path), capsys)
        assert str(tmp_path) in said


def straightened(corpus: Path) -> None:
    """A corpus whose raw references have an apostrophe that its tokens have straightened."""
    manifest = read_json(corpus / "manifest.json")
    manifest["settings"]["straight_apostrophes"] = True
    manifest.pop("raw_sha256", None)
    write_json(corpus / "manifest.json", manifest)
    for folder, form in (("raw", "{}, dog\u2019s house"), ("tok", "{} , dog &apos;s house")):
        path = corpus / folder / "test.en"
        write_lines(path, [form.format(line) for line in list(read_lines(path))])


@pytest.mark.usefixtures("fast")
def test_apostrophes_are_scored_both_ways(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straightened(corpus)
    assert cli.main(words(corpus, save)) == 0
    scores = read_json(save / "test-scores" / "scores.json")
    assert scores["bleu"]["score"] == scores["ceiling"]["bleu"] < 90
    assert scores["bleu_straight"]["score"] == scores["ceiling"]["bleu_straight"] == 100
    assert "\u2019 as '" in capsys.readouterr().out


def long_line(corpus: Path, tokens: int) -> None:
    """The test set's third line is longer than 1,024 subwords."""
    from fairseq.data import Dictionary, indexed_dataset

    manifest = read_json(corpus / "manifest.json")
    manifest.pop("raw_sha256", None)
    write_json(corpus / "manifest.json", manifest)
    for language in ("de", "en"):
        bpe = list(read_lines(corpus / "bpe" / f"test.{language}"))
        raw = list(read_lines(corpus / "raw" / f"test.{language}"))
        subword, word = bpe[0].split()[-1], raw[0].split()[-1]
        parts = bpe[0].split()
        whole = [n for n, part in enumerate(parts) if not part.endswith("@@")]
        if len(whole) > 1:
            subword = " ".join(parts[whole[-2] + 1 :])
        count = -(-tokens // len(subword.split()))
        bpe[2], raw[2] = " ".join([subword] * count), " ".join([word] * count)
        write_lines(corpus / "bpe" / f"test.{language}", bpe)
        write_lines(corpus / "raw" / f"test.{language}", raw)
        dictionary = Dictionary.load(str(corpus / "bin" / f"dict.{language}.txt"))
        stem = str(corpus / "bin" / f"test.de-en.{language}")
        builder = indexed_dataset.make_builder(f"{stem}.bin", impl="mmap")
        for line in bpe:
            builder.add_item(dictionary.encode_line(line, add_if_not_exist=False))
        builder.finalize(f"{stem}.idx")


def learned(save: Path, positions: int) -> None:
    """Turn the checkpoint into one with learned positions for so many tokens."""

    def change(state: dict[str, Any]) -> None:
        settings = state["cfg"]["model"]
        for side, text in (("encoder", "source"), ("decoder", "target")):
            width = state["model"][f"{side}.embed_tokens.weight"].shape[1]
            table = torch.zeros(positions + 2, width)
            state["model"][f"{side}.embed_positions.weight"] = table
            known = settings if isinstance(settings, dict) else vars(settings)
            known |= {f"{side}_learned_pos": True, f"max_{text}_positions": positions}

    changed(save, change)


@pytest.mark.slow
def test_a_line_of_over_1024_subwords(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long_line(corpus, 1100)
    assert cli.main(words(corpus, save, "--beam", 1, "--max-tokens", 100)) == 0
    scores = read_json(save / "test-scores" / "scores.json")
    assert scores["subset"]["sentences"] == SENTENCES and scores["skipped"] == []
    assert scores["calibration"]["tokens"] > 1100
    learned(save, 1024)
    output = ["--beam", 1, "--output", save / "learned"]
    said = refused(words(corpus, save, *output), capsys)
    assert "found 1 longer, number (from 0) and length: 2 (" in said and "--skip-long" in said
    assert cli.main(words(corpus, save, *output, "--skip-long")) == 0
    assert "NOT scored: 1 lines" in capsys.readouterr().out
    scores = read_json(save / "learned" / "scores.json")
    assert scores["subset"]["sentences"] == SENTENCES - 1 and scores["skipped"] == [2]
    assert len(list(read_lines(save / "learned" / "hyp.en"))) == SENTENCES - 1
    assert scores["calibration"]["tokens"] < 100


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_ended_in_the_middle(number: signal.Signals, corpus: Path, save: Path) -> None:
    """While it translates: the exit status is the signal's, and the earlier scores stand."""
    output = save / "test-scores"
    output.mkdir()
    write_json(output / "scores.json", EARLIER)
    long_line(corpus, 3000)
    running = Running.start(words(corpus, save))
    log = output / ".part" / "generate.log"
    latest = time.monotonic() + 60
    while not (log.exists() and "creating new batches" in log.read_text(encoding="utf-8")):
        assert time.monotonic() < latest, running.end()
        time.sleep(0.02)
    os.kill(running.number, number)
    status, said = running.end()
    assert status == (-number if number == signal.SIGKILL else 128 + number), said
    assert "Traceback" not in said
    assert read_json(output / "scores.json") == EARLIER
    assert {path.name for path in output.iterdir()} == {"scores.json", ".lock", ".part"}
    with locked(output):  # no one holds it
        pass


@pytest.mark.parametrize("options", [[], ["--average", 1]])
def test_a_full_disk(options: list[object], corpus: Path, save: Path) -> None:
    """No file may grow beyond 2 KiB: fairseq's log, or the averaged checkpoint, does not fit."""
    output = save / "scores"
    output.mkdir()
    write_json(output / "scores.json", EARLIER)
    shutil.copyfile(save / BEST, save / "checkpoint1.pt")
    given = words(corpus, save, "--output", output, *options)
    status, said = Running.start(given, most_bytes=2048).end()
    assert status == 1 and "Traceback" not in said, said
    assert said.split("\n")[-2].startswith("error: ")
    assert ("averaged.pt: could not be written" if options else "File too large") in said
    assert read_json(output / "scores.json") == EARLIER
    assert not list(output.glob("averaged.pt*"))


def test_terminal_escapes_are_shown(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A symbol of the dictionary that would clear the screen."""
    lines = list(read_lines(corpus / "bin" / "dict.en.txt"))
    for language in ("de", "en"):
        bad = [f"\x1b[2J\u202e{number} 1" for number, _ in enumerate(lines)]
        write_lines(corpus / "bin" / f"dict.{language}.txt", bad)
    changed(save, lambda state: state["cfg"]["task"].update(data="gone"))
    assert cli.main(["inspect", *words(corpus, save)[1:-1]]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "\\x1b[2J\\u202e" in shown
