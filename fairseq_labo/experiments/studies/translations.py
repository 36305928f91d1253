"""Some translations side by side: sentences on which the methods disagree most."""

import itertools
from collections.abc import Mapping, Sequence

from fairseq_labo.experiments.data.prepared import PreparedCorpus
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
        given = [("source", self.source), ("reference", self.reference), *self.hypotheses.items()]
        return [[name, text] for name, text in given if text is not None]


def choose_translations(
    runs: Sequence[Run], corpus: PreparedCorpus, test: str
) -> tuple[Translation, ...]:
    """Of each of COUNT parts of the test set the sentence with the most different translations.

    Of the runs with the first seed; none if one of them left no hypotheses.
    """
    source, target = corpus.languages
    name = f"hyp.{target}"
    shown = [run for run in runs if run.seed == runs[0].seed]
    if not all((run.scores_folder(test) / name).exists() for run in shown):
        return ()
    references = corpus.raw(test, target)
    hypotheses = {run.method: run.lines(test, name, len(references)) for run in shown}
    sources = corpus.raw(test, source) if corpus.manifest else [None] * len(references)
    return tuple(
        Translation(
            sentence=number + 1,
            source=sources[number],
            reference=references[number],
            hypotheses={name: lines[number] for name, lines in hypotheses.items()},
        )
        for number in most_different(hypotheses, len(references))
    )


def most_different(hypotheses: Mapping[str, Sequence[str]], sentences: int) -> list[int]:
    """Indices, one of each of COUNT equal parts; the first of equals."""
    bounds = [sentences * number // COUNT for number in range(COUNT + 1)]
    return [
        max(numbers, key=lambda n: len({lines[n] for lines in hypotheses.values()}))
        for numbers in itertools.starmap(range, itertools.pairwise(bounds))
        if numbers
    ]
