"""Releases in their original layouts, generated, with the traps of the real ones in them."""

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data import download, prepare
from fairseq_labo.experiments.data.download import Source
from fairseq_labo.experiments.data.recipe import Corpus, Counts, Part

# White space and line ends of other kinds, which must not end a line of the corpus.
SEPARATORS = ["\u2028", "\u0085", "\x0c", "\r", "\x1c", "\u00a0"]
WORDS = {
    "de": ["Hund", "Straße", "läuft", "Über-Mut", "„ja“", "Jahr", "Äpfel"],
    "en": ["dog", "street", "runs", "well-known", "don't", "year", "apples"],
    "fr": ["l'école", "chien", "été", "peut-être", "année", "« oui »", "pommes"],
    "vi": ["chó", "đường", "chạy", "năm", "táo", "nhà", "không"],
}

# Of another Multi30k, in the release's layout; the hashes of its files are known.
TINY_COUNTS = {"train": 50, "val": 6, "test_2016_flickr": 5, "test_2017_flickr": 4}
TINY_COUNTS["test_2017_mscoco"] = 3
TINY_SENTENCES = {
    "de": "Ein Mann, der {} Hüte\u2028 trägt, sagt: 'Nein' & geht.",
    "en": "A man wearing {} hats\x0c says 'no' & doesn't stay.",
}


def sentence(lang: str, number: int) -> str:
    """A sentence with its number, a stray separator and an apostrophe in it."""
    words = WORDS[lang]
    chosen = " ".join(words[(number + i) % len(words)] for i in range(3 + number % 4))
    return f"{number} {SEPARATORS[number % 6]}{chosen} it’s AT&amp;T in the U.S."


def training_lines(lang: str, size: int, *, source: str) -> list[str]:
    """`size` sentences, the last five of them such that Moses' cleaning drops each."""
    lines = [sentence(lang, number) for number in range(size - 5)]
    is_source = lang == source
    lines.append("" if is_source else "the other side is empty")
    lines.append("one" if is_source else "one two three")  # ratio
    lines.append("much " * (300 if is_source else 299))  # too many tokens
    lines.append(f"a word {'x' * 1001} too long")
    lines.append(" " if is_source else "white space alone")
    return lines


def tags(lines: Iterable[str], *, year: int) -> str:
    """A train.tags file: two talks, of which the second has no text of its own."""
    text = "<url>http://www.ted.com/1</url>\n<keywords>talks, fun</keywords>\n"
    text += "<speaker>A. Person</speaker>\n" if year == 2017 else ""
    text += "<talkid>1</talkid>\n<title>A: The title</title>\n"
    text += "<description>TED Talk: the description</description>\n"
    text += "".join(f"{line}\n" for line in lines)
    text += '<reviewer href="x">R</reviewer>\n<translator href="y">T</translator>\n' * (
        year == 2017
    )
    return text + "<url>http://www.ted.com/2</url>\n<talkid>2</talkid>\n<title>Second</title>\n"


def segments(lines: Iterable[str], *, kind: str, doc_size: int = 3) -> str:
    """An xml or sgm set whose ids start again with each document."""
    text = f'<?xml version="1.0"?>\n<mteval>\n<{kind} setid="x" srclang="any">\n'
    for number, line in enumerate(lines):
        position = number % doc_size
        if position == 0:
            text += "</doc>\n" * (number > 0) + f'<doc docid="{number}" genre="lectures">\n'
            text += "<title>not a sentence & not XML</title>\n"
        text += f'<seg id="{position + 1}"> {line} </seg>\n'
    return f"{text}</doc>\n</{kind}>\n</mteval>\n"


def pack(path: Path, members: Mapping[str, str | bytes]) -> bytes:
    """Write a .tgz of `members` (in it also a link and a folder) and return its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("../outside")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path.read_bytes()


def numbered(lang: str, size: int) -> list[str]:
    return [sentence(lang, number) for number in range(size)]


def ted(
    pair: str, tests: Mapping[str, int], *, year: int, size: int, side: str | None = None
) -> dict[str, str | bytes]:
    """Members of a TED archive; `side`: of the test sets that language alone."""
    source, target = pair.split("-")
    members: dict[str, str | bytes] = {f"{pair}/README": "read me\n"}
    for lang in (source, target):
        if size:
            lines = training_lines(lang, size, source=source)
            members[f"{pair}/train.tags.{pair}.{lang}"] = tags(lines, year=year)
        if side in (None, lang):
            kind = "srcset" if lang == source else "refset"
            for name, count in tests.items():
                # The last pair is one that cleaning would drop; test sets are not cleaned.
                lines = [*numbered(lang, count - 1), f"{count - 1}" + " x" * (9 * (lang == "en"))]
                text = segments(lines, kind=kind)
                members[f"{pair}/IWSLT{year % 100}.{name}.{pair}.{lang}.xml"] = text
    return members


def write_iwslt14(folder: Path, pair: str = "de-en", *, size: int = 75) -> None:
    tests = {"TED.dev2010": 4, "TED.tst2010": 5, "TED.tst2011": 3, "TED.tst2012": 2}
    if pair == "de-en":
        tests["TEDX.dev2012"] = 6
        pack(folder / "de-en.tgz", ted(pair, tests, year=2014, size=size))
        return
    inner = pack(folder / "inner.tgz", ted(pair, tests, year=2014, size=size))
    (folder / "inner.tgz").unlink()
    pack(folder / "2014-01.tgz", {"2014-01/texts/en/fr/en-fr.tgz": inner, "2014-01/x": "y\n"})


def write_iwslt17(folder: Path, *, size: int = 75) -> None:
    names = ["dev2010", *(f"tst{year}" for year in range(2010, 2016))]
    tests = {f"TED.{name}": 3 + index for index, name in enumerate(names)}
    pack(folder / "fr-en.tgz", ted("fr-en", tests, year=2017, size=size))
    for pair in ("fr-en", "en-fr"):
        first, second = pair.split("-")
        path = folder / "2017-01-ted-test" / "texts" / first / second / f"{pair}.tgz"
        pack(path, ted(pair, {"TED.tst2017": 5}, year=2017, size=0, side=first))


def write_wmt14(folder: Path, *, version: str = "v9", size: int = 110) -> None:
    texts = {
        "europarl-v7": ("training/europarl-v7.de-en", "training-parallel-europarl-v7.tgz"),
        "commoncrawl": ("commoncrawl.de-en", "training-parallel-commoncrawl.tgz"),
        "news": (
            f"training/news-commentary-{version}.de-en",
            f"training-parallel-nc-{version}.tgz",
        ),
    }
    for name, (path, archive) in texts.items():
        lines = {
            lang: (
                training_lines(lang, size, source="en") if name == "news" else numbered(lang, size)
            )
            for lang in ("en", "de")
        }
        pack(
            folder / archive,
            {f"{path}.{lang}": "".join(f"{x}\n" for x in lines[lang]) for lang in lines},
        )
    sets: dict[str, str | bytes] = {}
    for lang in ("de", "en"):
        for kind in ("src", "ref"):
            # The last pair is one that cleaning would drop; test sets are not cleaned.
            lines = [*numbered(lang, 6), "6" + " long" * (9 if lang == "en" else 1)]
            text = segments(lines, kind=f"{kind}set")
            sets[f"test-full/newstest2014-deen-{kind}.{lang}.sgm"] = text
    pack(folder / "test-full.tgz", sets)


def write_files(folder: Path, texts: Mapping[str, Iterable[str]]) -> None:
    """Loose files, one sentence a line, gzipped where the name ends in .gz."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in texts.items():
        data = "".join(f"{line}\n" for line in lines).encode()
        (folder / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)


def write_multi30k(folder: Path, languages: Iterable[str] = ("de", "en")) -> None:
    sizes = {"train": 50, "val": 6, "test_2016_flickr": 5, "test_2017_flickr": 4}
    sizes["test_2017_mscoco"] = 3
    for lang in languages:
        write_files(
            folder / "data" / "task1" / "raw",
            {f"{name}.{lang}.gz": numbered(lang, size) for name, size in sizes.items()},
        )


def write_iwslt15(folder: Path) -> None:
    for lang in ("en", "vi"):
        texts = {"train": 60, "tst2012": 5, "tst2013": 4}
        write_files(
            folder,
            {
                f"{name}.{lang}": [f"{n} {WORDS[lang][n % 7]} &apos;s\u00a0." for n in range(size)]
                for name, size in texts.items()
            },
        )


def write_iwslt14_15k(folder: Path) -> None:
    write_files(folder, {"bpe_code": ["#version: 0.2", "d o", "do g</w>", "H u"]})
    for lang in ("de", "en"):
        texts = {"train15k": 40, "valid": 4, "test": 3}
        write_files(
            folder,
            {
                f"{name}.{lang}.gz": [f"der dog &amp; {n} ." for n in range(size)]
                for name, size in texts.items()
            },
        )


def write_mixed(folder: Path) -> None:
    write_iwslt14_15k(folder / "iwslt14-de-en")
    write_tatoeba(folder / "tatoeba-de-en", size=30)
    write_multi30k(folder / "multi30k")


def write_tatoeba(folder: Path, *, size: int = 900) -> None:
    write_files(
        folder,
        {
            "all.en.gz": [f"Number {n // 3} is {'even' * (n // 3 % 5)}." for n in range(size)],
            "all.de.gz": [f"Die Zahl {n // 3}, Fassung {n % 3}." for n in range(size)],
        },
    )


WRITERS = {
    "iwslt14": write_iwslt14,
    "iwslt14-15k": write_iwslt14_15k,
    "iwslt15": write_iwslt15,
    "iwslt17": write_iwslt17,
    "mixed": write_mixed,
    "multi30k": write_multi30k,
    "tatoeba": write_tatoeba,
    "wmt14": write_wmt14,
}


def declared(name: str, *options: str) -> Corpus:
    """The corpus that `labo prepare NAME` declares."""
    return prepare.corpus_of(cli.parse(["prepare", name, *options]))


def corpus_without_counts(name: str, *options: str) -> Corpus:
    """The declared corpus, but for the counts, which a generated release cannot have."""
    corpus = declared(name, *options)
    parts = {
        split: Part(
            part.name, tuple(replace(member, expected_lines=None) for member in part.members)
        )
        for split, part in corpus.parts.items()
    }
    return replace(corpus, parts=parts, counts=Counts())


def tiny_multi30k(pair: str = "de-en", **counts: int) -> Corpus:
    """Multi30k with the counts of the tiny release, or others."""
    corpus = declared("multi30k", "--pair", pair)
    parts = {}
    for split, part in corpus.parts.items():
        lines = counts.get(split, TINY_COUNTS[part.name])
        parts[split] = Part(part.name, (replace(part.members[0], expected_lines=lines),))
    return replace(corpus, parts=parts)


def main(words: Sequence[str], *, corpus: Corpus, sources: Sequence[Source] = ()) -> int:
    """`labo prepare ...` of another corpus than the declared one; return the exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "corpus_of", lambda options: corpus)
        patch.setattr(download, "read_sources", lambda corpus: list(sources))
        return cli.main(["prepare", *words])


def run(name: str, source_dir: Path, destdir: Path, *options: str) -> int:
    """`labo prepare NAME --source-dir ...` of a generated release, without counts and hashes."""
    own = [*options, "--bpe-size", "60"] if name != "iwslt14-15k" else list(options)
    words = [name, "--destdir", str(destdir), "--source-dir", str(source_dir), *own]
    return main(words, corpus=corpus_without_counts(name, *own))
