"""Some translations side by side: sentences on which the methods disagree most."""

from collections.abc import Mapping, Sequence

from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.files import read_lines
from fairseq_labo.experiments.studies.run import Run
from fairseq_labo.experiments.studies.schema import Model

COUNT = 4


class Translation(Model):
    """A sentence of a test set (counted from 1) as each method translates it.

    `source` is None where the corpus holds no raw source text.
    """

    sentence: int
    source: str | None
    reference: str
    hypotheses: dict[str, str]

    def rows(self) -> list[list[str]]:
        """Whose text, and the text."""
        source = [] if self.source is None else [["source", self.source]]
        translated = [[method, text] for method, text in self.hypotheses.items()]
        return [*source, ["reference", self.reference], *translated]


def choose_translations(
    runs: Sequence[Run], corpus: PreparedCorpus, test: str
) -> tuple[Translation, ...]:
    """Of each of COUNT parts of the test set the sentence with the most different translations.

    Of the runs with the first seed; none if one of them left no hypotheses.
    """
    source, target = corpus.languages
    files = {
        run.method: run.scores_folder(test) / f"hyp.{target}"
        for run in runs
        if run.seed == runs[0].seed
    }
    if not all(path.exists() for path in files.values()):
        return ()
    hypotheses = {name: list(read_lines(path)) for name, path in files.items()}
    references = corpus.raw(test, target)
    sources = corpus.raw(test, source) if corpus.manifest else None
    return tuple(
        Translation(
            sentence=number + 1,
            source=None if sources is None else sources[number],
            reference=references[number],
            hypotheses={name: lines[number] for name, lines in hypotheses.items()},
        )
        for number in most_different(hypotheses, len(references))
    )


def most_different(hypotheses: Mapping[str, Sequence[str]], sentences: int) -> list[int]:
    """Indices, one of each of COUNT equal parts; the first of equals."""
    part = max(1, sentences // COUNT)
    parts = [range(start, min(start + part, sentences)) for start in range(0, part * COUNT, part)]
    return [
        max(numbers, key=lambda n: len({lines[n] for lines in hypotheses.values()}))
        for numbers in parts
        if numbers
    ]
