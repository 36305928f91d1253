"""The microworld's corpus: sizes, determinism, disjoint splits, phenomena, command."""

import gzip
import os
import re
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from microworld import corpus as microworld
from microworld.embedding import Embedding

PROJECT = Path(microworld.__file__).parents[1]
# The embedded corpus of fairseq_labo.
SHIPPED = PROJECT.parents[1] / "fairseq_labo" / "experiments" / "data" / "microworld"


@pytest.fixture(scope="module")
def corpus() -> microworld.Corpus:
    return microworld.generate(seed=1)


@pytest.mark.slow
def test_sizes_and_distinct_pairs(corpus: microworld.Corpus) -> None:
    assert {split: len(pairs) for split, pairs in corpus.items()} == {
        "train": 24_000, "valid": 500, "test": 500,
    }  # fmt: skip
    everything = [pair for pairs in corpus.values() for pair in pairs]
    assert len(set(everything)) == len(everything)


@pytest.mark.slow
@pytest.mark.parametrize("side", [0, 1])
def test_held_out_sides_do_not_occur_elsewhere(corpus: microworld.Corpus, side: int) -> None:
    train, valid, test = ({pair[side] for pair in corpus[split]} for split in microworld.SPLITS)
    assert not train & valid
    assert not train & test
    assert not valid & test
    assert len(valid) == len(test) == 500


def test_another_seed_gives_another_text() -> None:
    first, second = (microworld.generate(seed=n, train=200, valid=0, test=0) for n in (1, 2))
    assert len(set(first["train"]) & set(second["train"])) < 20


def test_same_text_in_processes_with_other_hash_seeds() -> None:
    code = (
        "import hashlib; from microworld import generate; "
        "print(hashlib.sha256(repr(generate(seed=3, train=1500, valid=50, test=50)).encode())"
        ".hexdigest())"
    )
    digests = set()
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(run.stdout)
    assert len(digests) == 1


@pytest.mark.slow
def test_it_still_writes_the_bytes_that_are_shipped(tmp_path: Path) -> None:
    assert microworld.main(["--tsv", "--destdir", str(tmp_path)]) == 0
    for split in microworld.SPLITS:
        made, shipped = (
            (folder / f"{split}.tsv.gz").read_bytes() for folder in (tmp_path, SHIPPED)
        )
        assert gzip.decompress(made) == gzip.decompress(shipped)
        if "ng" not in zlib.ZLIB_RUNTIME_VERSION:  # zlib-ng packs the same text otherwise
            assert made == shipped


@pytest.mark.parametrize("sizes", [{"train": -1}, {"valid": -5}, {"test": -2}])
def test_negative_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"Expected .* found -\d\. Give"):
        microworld.generate(seed=1, **sizes)


def test_too_many_pairs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_sentence(self: Embedding) -> list[tuple[int, object]]:
        return [(1, lambda: ("Es regnet heute.", "It is raining today."))]

    monkeypatch.setattr(microworld.Embedding, "templates", one_sentence)
    with pytest.raises(ValueError, match=r"Expected .* found 1 in \d+ draws\. Ask for fewer"):
        microworld.generate(seed=1, train=2, valid=0, test=0)


@pytest.mark.slow
def test_every_sentence_is_well_formed(corpus: microworld.Corpus) -> None:
    letters = {"de": "A-Za-zÄÖÜäöüßé", "en": "A-Za-zéü'"}
    for pairs in corpus.values():
        for german_text, english_text in pairs:
            for language, text in (("de", german_text), ("en", english_text)):
                assert re.fullmatch(rf"[{letters[language]}, -]+[.?!]", text), text
                assert text[0].isupper(), text
                assert not re.search(r"  | [,.?!]|,[^ ]|,,|, [.?!]", text), text
            assert german_text[-1] == english_text[-1], (german_text, english_text)


@pytest.mark.slow
def test_english_articles_and_negations(corpus: microworld.Corpus) -> None:
    for _, text in corpus["train"]:
        assert not re.search(r"\b[Aa] [aeio]", text), text
        assert not re.search(r"\b[Aa]n [^aeiou]", text), text
        assert "can not" not in text, text
        assert not re.search(r"\b(\w+) \1\b", text), text


@pytest.mark.slow
def test_lengths_and_vocabulary(corpus: microworld.Corpus) -> None:
    words = [Counter[str](), Counter[str]()]
    for pair in corpus["train"]:
        for side in (0, 1):
            words[side].update(re.findall(r"[^\W\d_]+", pair[side]))
    assert len(words[0]) >= 2000
    assert len(words[1]) >= 1200
    for side in (0, 1):
        lengths = [len(pair[side].split()) for pair in corpus["train"]]
        assert 8.5 <= sum(lengths) / len(lengths) <= 11
        assert max(lengths) <= 30


PHENOMENA = [
    # (German pattern, English pattern, least number of training pairs)
    (r", weil .* (ist|war|hat|hatte|sind|waren|haben|hatten)\.$", r" because ", 800),
    (r", dass ", r" that ", 1000),
    (r"^Obwohl |, obwohl ", r"[Aa]lthough ", 500),
    (r"^Wenn .*, (\w+) ", r"^(When|If) ", 400),
    (r"^Wenn .* (hätte|wäre|hätten|wären)n?, würde", r"^If .* would ", 300),
    (r"^Während .*, ", r"^While .*ing", 200),
    (r"^Nachdem .* (hatten?|waren?), ", r"^After .* had ", 150),
    (r"^Bevor ", r"^Before ", 100),
    (r"^Als ", r"^When .*ed|^When .*came", 100),
    (r", ob ", r" whether ", 100),
    (r", (den|dem|der|die|das) [^,]*(hat|haben|te|ten|t),? ", r" (who|that|which) ", 500),
    (r", (auf|in|mit|für|vor) (dem|der|den|das|die|denen) ", r" (on|in|which|with|for|of) ", 20),
    (r"^(Heute|Gestern|Morgen|Vorgestern) ", r"^(Today|Yesterday|Tomorrow|The day)", 200),
    (r"^(Hast|Habt|Haben|Hat) .*\?$", r"^Did .*\?$", 300),
    (r"^(Wer|Was|Wann|Wohin|Warum|Wo|Wen|Wem|Wie oft|Welche[ns]?) .*\?$",
     r"^(Who|What|When|Where|Why|How|Which) ", 1000),
    (r" nicht ", r" not ", 800),
    (r" keine?n? ", r" not .*(an?|any) ", 60),
    (r" (kann|muss|will|darf|soll|möchte)\b.*en\.$", r" (can|has to|wants to|should|would) ", 300),
    (r" (wird|werden|werde) .*n\.$", r" will ", 500),
    (r" (aufgemacht|angerufen|eingekauft|aufgeräumt|zugemacht|ausgemacht|angekommen)\b", r"", 200),
    (r" \w+zu(machen|rufen|räumen|kaufen|setzen|ziehen|schalten)\b", r" to | without ", 60),
    (r" um .* zu |, um \w*zu", r" to ", 300),
    (r" ohne ", r" without \w+ing", 60),
    (r"ist \w+er als |war \w+er als ", r"(er|more \w+) than ", 200),
    (r" so \w+ wie ", r" as \w+ as ", 60),
    (r"^Das ist d\w\w \w+ste ", r"^This is the (most|\w+est) ", 60),
    (r" gern ", r" likes? to ", 100),
    (r" (gefällt|gefallen|schmeckt) ", r" likes? ", 300),
    (r" (ihm|ihr) kalt ", r" (he|she) was cold", 5),
    (r" seit (\w+) (Jahren|Monaten|Wochen) |^Seit ", r" (has|have) been \w+ing", 300),
    (r" (wird|wurde|wurden|werden) .*(t|en)\.$", r" (is|are|was|were) (being )?\w+", 200),
    (r" (gehört|gehören) ", r" belongs? to ", 150),
    (r"\b(im|ins|am|zum|zur|vom) ", r"", 1500),
    (r"\b(bei der Bank|zur Bank)\b", r"\bbank\b", 40),
    (r"\b(Bank|Bänke)\b", r"\bbench(es)?\b", 40),
    (r"\bSchl(oss|össer)\b", r"\block\b", 30), (r"\bSchl(oss|össer)", r"\bcastle", 60),
    (r"\bBirnen?\b", r"\bpear", 60), (r"\bBirnen?\b", r"\blight bulb", 20),
    (r"\bDecken?\b", r"\bblanket", 60), (r"\bDecken?\b", r"\bceiling", 40),
    (r"\bGericht\b", r"\bdish", 30), (r"\bGericht\b", r"\bcourt", 10),
    (r"\bH(ahn|ähne)\b", r"\brooster", 60), (r"\bH(ahn|ähne)\b", r"\btap", 30),
    (r"\bTore?\b", r"\bgate", 30), (r"\bTor\b", r"\bgoal", 30),
    (r"\bStr(auß|äuße|auße)\b", r"\bostrich", 20), (r"\bStr(auß|äuße)\b", r"\bbouquet", 30),
    (r"\bUhr(en)?\b", r"\bwatch", 30), (r"\bUhr(en)?\b", r"\bclock", 5),
    (r"\bLeiter\b", r"\bladder", 20), (r"\bLeiter\b", r"\bmanager", 30),
    (r"\bder See\b|die See\b", r"\bsea\b", 40), (r"\bam See\b|den See\b", r"\blake\b", 60),
    (r"\b(weiß|weißt|wissen|wisst)\b", r"\bknows?\b", 500),
    (r"\bkenn(en|t|e|st)\b", r"\bknows?\b", 20),
    (r"\bstell", r"\bput", 60),
    (r"\bleg", r"\bput", 100),
    (r"\b(häng|gehängt)", r"\b(hang|hung)", 60),
    (r"\bHausaufgaben\b", r"\bhomework\b", 40), (r"\bPause\b", r"\bbreak\b", 40),
    (r"\bspiel.*(Klavier|Geige|Gitarre|Flöte|Trommel)\b", r"\bplay.* the ", 40),
    (r"\bspielt? .*(Fußball|Schach|Karten)\b", r"\bplay", 60),
    (r"\bSie\b.*\?", r"^(Did|Do|Are|Will|Can|Have|Wh|How|Should).* you ", 400),
    (r"\b(Haustür|Kinderbuch|Apfelbaum|Bahnhof|Krankenhaus|Küchentisch|Regenmantel)\b", r"", 300),
    (r"^[A-ZÄÖÜ]\w+ (Sie )?.*bitte.*[.!]$", r"^Please ", 200),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("german_pattern", "english_pattern", "least"), PHENOMENA)
def test_phenomenon_occurs(
    corpus: microworld.Corpus, german_pattern: str, english_pattern: str, least: int
) -> None:
    found = sum(
        1
        for german_text, english_text in corpus["train"]
        if re.search(german_pattern, german_text) and re.search(english_pattern, english_text)
    )
    assert found >= least


def test_at_least_twelve_templates() -> None:
    templates = Embedding(Random(1)).templates()
    assert len(templates) >= 12
    assert all(weight > 0 for weight, _ in templates)


def test_command_writes_parallel_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    destination = tmp_path / "raw"
    arguments = ["--destdir", str(destination), "--seed", "4", "--train", "60", "--valid", "7"]
    assert microworld.main([*arguments, "--test", "5"]) == 0
    expected = microworld.generate(seed=4, train=60, valid=7, test=5)
    for split, size in (("train", 60), ("valid", 7), ("test", 5)):
        for side, language in enumerate(("de", "en")):
            raw = (destination / f"{split}.{language}").read_bytes()
            assert b"\r" not in raw
            lines = raw.decode("utf-8").split("\n")
            assert len(lines) == size + 1
            assert lines[-1] == ""
            assert lines[:-1] == [pair[side] for pair in expected[split]]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in printed[:3]] == [
        "train: 60 pairs", "valid: 7 pairs", "test: 5 pairs",
    ]  # fmt: skip
    assert len(printed) == 6


def test_command_reports_bad_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert microworld.main(["--destdir", str(tmp_path / "raw"), "--train", "-3"]) == 1
    assert "found -3" in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()
