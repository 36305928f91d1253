"""Against real text, where it lies beside the checkout: `../shared/corpora`, or $LABO_CORPORA.

The validation and test sets of IWSLT'14 there are outputs of fairseq's own recipe before BPE.
"""

import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import bpe, extract
from fairseq_labo.experiments.data.locate import locate
from fairseq_labo.experiments.data.parallel import Workers
from fairseq_labo.experiments.files import read_lines
from tests.conftest import REPOSITORY
from tests.experiments.data import releases

CORPORA_FOLDER = Path(os.environ.get("LABO_CORPORA", REPOSITORY.parent / "shared" / "corpora"))


def folder_of(name: str) -> Path:
    """The folder of a corpus; its test is skipped without it."""
    folder = CORPORA_FOLDER / name
    if not folder.is_dir():
        pytest.skip(f"no real text in {folder}; set LABO_CORPORA to the folder that holds {name}/")
    return folder


def extracted(name: str, folder: Path, target: Path) -> dict[str, int]:
    """Pairs of each part, with hashes and counts checked."""
    corpus = releases.declared(name)
    located = locate(corpus, target, source_dir=folder)
    pairs: dict[str, int] = extract.extract(corpus, located.containers, target)["pairs"]
    return pairs


def test_pairs_of_multi30k(tmp_path: Path) -> None:
    pairs = extracted("multi30k", folder_of("multi30k"), tmp_path)
    assert list(pairs.values()) == [29_000, 1_014, 1_000, 1_000, 461]


def test_pairs_of_tatoeba(tmp_path: Path) -> None:
    assert extracted("tatoeba", folder_of("tatoeba-de-en"), tmp_path) == {"all": 169_197}


@pytest.mark.slow
def test_subwords_of_iwslt14_are_as_recorded(tmp_path: Path) -> None:
    """The recorded merges, applied by the project, give the recorded numbers of tokens."""
    folder = folder_of("iwslt14-de-en")
    corpus = releases.declared("iwslt14-15k")
    sets = replace(corpus, parts={split: corpus.parts[split] for split in ("valid", "test")})
    located = locate(sets, tmp_path, source_dir=folder)
    extract.extract(sets, located.containers, tmp_path)
    encode = partial(bpe.encode_with, str(folder / "bpe_code"))
    found = {}
    with Workers(1) as workers:
        for name in ("valid.de", "test.de", "valid.en", "test.en"):
            lines = workers.map_lines(encode, tmp_path / name, tmp_path / "out")
            found[name] = lines + sum(len(x.split()) for x in read_lines(tmp_path / "out"))
    assert found == {
        "valid.de": 182_592, "test.de": 161_838, "valid.en": 178_622, "test.en": 156_928,
    }  # fmt: skip
    assert (
        found
        == dict(corpus.counts.tokens)
        == {
            name: count
            for name, count in releases.declared("iwslt14").counts.tokens.items()
            if not name.startswith("train")
        }
    )


def test_fairseqs_own_output_splits_every_final_period() -> None:
    """Which of the two tokenizer.perl the recipe used: today's (see `data.moses`)."""
    folder = folder_of("iwslt14-de-en")
    unsplit = re.compile(r"[^ .]\.$")
    for name in ("valid.de", "valid.en", "test.de", "test.en"):
        lines = list(read_lines(folder / f"{name}.gz"))
        assert not [line for line in lines if unsplit.search(line)]
        assert sum(line.endswith(" .") for line in lines) > 1_000
        assert all(line == line.lower() == " ".join(line.split()) for line in lines)
