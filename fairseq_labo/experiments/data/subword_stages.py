"""The stages from tokens to fairseq's data: learn BPE, apply BPE, select, binarize."""

from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.data import binarize, bpe, clean, pieces
from fairseq_labo.experiments.data.parallel import LineFunction, Workers
from fairseq_labo.experiments.data.stages import WORK, Stage, link_or_copy
from fairseq_labo.experiments.data.text_stages import CLEAN, Job, versions
from fairseq_labo.experiments.files import read_lines, sha256_of, write_lines

CODES, SUBWORDS = f"{WORK}/codes", f"{WORK}/subwords"
CODES_NAME = "codes"


def _subwords(job: Job) -> dict[str, Any]:
    kind = job.corpus.recipe.subwords
    return {"subwords": kind} | versions(kind)


def learn_stage(job: Job) -> Stage:
    """The merges (or the SentencePiece model) of both languages: CODES, or those that are given."""
    recipe = job.corpus.recipe
    given = job.located.containers[recipe.codes].path if recipe.codes is not None else None

    def run(folder: Path) -> dict[str, Any]:
        codes = folder / CODES / CODES_NAME
        if given is not None:
            bpe.load_codes(given)
            return {"size": write_lines(codes, read_lines(given)) - 1, "given": True}
        texts = [job.destdir / CLEAN / "tok" / f"train.{lang}" for lang in job.corpus.languages]
        with Workers(job.workers) as workers:
            counts: Counter[str] = workers.count_words(texts)
        names = ", ".join(map(str, texts))
        if recipe.subwords == "sentencepiece":
            size = pieces.learn_from_counts(counts, codes, size=recipe.bpe_size, names=names)
        else:
            size = bpe.learn_from_counts(counts, codes, merges=recipe.bpe_size, names=names)
        return {"size": size, "words": len(counts)}

    learning = {"size": recipe.bpe_size, "given": sha256_of(given) if given else None}
    return Stage("learn BPE", (CODES,), _subwords(job) | learning, run, reads=("clean",))


def apply_stage(job: Job) -> Stage:
    """The subwords of every split: SUBWORDS/{split}.{lang}."""

    def run(folder: Path) -> dict[str, Any]:
        is_pieces = job.corpus.recipe.subwords == "sentencepiece"
        function: LineFunction = partial(
            pieces.encode_with if is_pieces else bpe.encode_with,
            str(job.destdir / CODES / CODES_NAME),
        )
        lines = 0
        with Workers(job.workers) as workers:
            for split in job.corpus.splits:
                for lang in job.corpus.languages:
                    name = f"{split}.{lang}"
                    source = job.destdir / CLEAN / "tok" / name
                    lines += workers.map_lines(function, source, folder / SUBWORDS / name)
        return {"lines": lines}

    return Stage("apply BPE", (SUBWORDS,), _subwords(job), run, reads=("clean", "learn BPE"))


def select_stage(job: Job) -> Stage:
    """raw/, tok/ and bpe/: the pairs whose subwords are not too many, and the merges."""
    limits = job.corpus.recipe.clean_subwords

    def run(folder: Path) -> dict[str, Any]:
        inputs = {kind: job.destdir / CLEAN / kind for kind in ("raw", "tok")}
        inputs["bpe"] = job.destdir / SUBWORDS
        pairs = {}
        for split in job.corpus.splits:
            of_split = limits if split in ("train", "valid") else None
            pairs[split] = clean.select_pairs(job.corpus.languages, inputs, folder, split, of_split)
        link_or_copy(job.destdir / CODES / CODES_NAME, folder / "bpe" / CODES_NAME)
        if limits is not None:
            job.check_splits(pairs)
        return {"lines": 2 * sum(pairs.values()), "pairs": pairs}

    settings = {"limits": limits and asdict(limits), "expected": job.expected}
    reads = ("clean", "learn BPE", "apply BPE")
    return Stage("select", ("raw", "tok", "bpe"), settings, run, reads=reads)


def binarize_stage(job: Job) -> Stage:
    """bin/: what fairseq-preprocess makes of bpe/."""
    corpus = job.corpus
    source_lang, target_lang = corpus.languages

    def run(folder: Path) -> dict[str, Any]:
        (job.destdir / "logs").mkdir(exist_ok=True)
        binarize.binarize(
            job.destdir / "bpe",
            folder / "bin",
            source_lang=source_lang,
            target_lang=target_lang,
            splits=corpus.splits,
            workers=job.workers,
            joined_dictionary=corpus.recipe.joined_dictionary,
            log_file=job.destdir / "logs" / "preprocess.log",
        )
        return {}

    settings = {
        "languages": list(corpus.languages),
        "splits": corpus.splits,
        "joined_dictionary": corpus.recipe.joined_dictionary,
        "fairseq": binarize.tool_versions()["fairseq"],
    }
    return Stage("binarize", ("bin",), settings, run, reads=("select",))
