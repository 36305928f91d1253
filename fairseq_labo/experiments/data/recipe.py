"""What a corpus declares: where its text lies, its published recipe, and the counts to expect."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

Markup = Literal["plain", "tags2014", "tags2017", "segments"]
Subwords = Literal["subword-nmt", "sentencepiece"]
# At the end of a word's subwords but the last; at the beginning of its first.
SUBWORD_MARKS: dict[str, str] = {"subword-nmt": "@@", "sentencepiece": "\u2581"}
Tokenizer = Literal["moses", "none"]


@dataclass(frozen=True)
class Limits:
    """Bounds of a pair of sentences, as of Moses' clean-corpus-n.perl.

    Both sides have 1 to `max_tokens` tokens, neither has more than `ratio` times as many as the
    other, and no token is longer than `max_characters`.
    """

    max_tokens: int
    ratio: float = 1.5
    max_characters: int = 1000


@dataclass(frozen=True)
class Recipe:
    """How raw text becomes subwords; the defaults are those of a corpus that needs no cleaning.

    `tokenizer` "none": words are what stands between white space, and nothing is detokenized.
    `released_tokens`: the corpus is released as Moses tokens; they are kept, and the references
    for scoring are detokenized from them. `valid_every`: every n-th pair of the training text
    that `clean_tokens` left becomes the validation set. `held_out`: so many pairs become the
    validation set, and the test set (see `clean.draw_held_out`). `codes`: a text member with BPE
    merges to apply instead of learning some.
    """

    tokenizer: Tokenizer = "moses"
    released_tokens: bool = False
    normalize: bool = False  # the training text: punctuation, then non-printing characters
    aggressive_hyphens: bool = False
    split_final_period: bool = False  # as today's tokenizer.perl, unlike sacremoses
    straight_apostrophes: bool = False  # in segments (xml, sgm): U+2019 becomes '
    clean_tokens: Limits | None = None  # training text, before BPE
    clean_subwords: Limits | None = None  # training and validation text, after BPE
    lowercase: bool = False
    valid_every: int | None = None
    held_out: int | None = None
    subwords: Subwords = "subword-nmt"
    bpe_size: int = 8000
    codes: str | None = None
    joined_dictionary: bool = True


@dataclass(frozen=True)
class Member:
    """One text of a release, in both languages.

    `path` and `archive` are templates: {lang} is the text's language, {other} the other one,
    {side} "src" or "ref". `archive` names the .tgz that holds it; without one the text is a file
    of its own. `tokenize`: raw text in a recipe of released tokens, made the same kind of tokens
    while it is read. `columns`: the languages of a text with tabs, both in one file. No more than
    `first_lines` are taken.
    """

    path: str
    markup: Markup = "plain"
    archive: str = ""
    expected_lines: int | None = None
    tokenize: bool = False
    columns: tuple[str, ...] = ()
    first_lines: int | None = None


class Text(NamedTuple):
    """One text of a release in one language, the `number`-th of its part."""

    part: str
    number: int
    member: Member
    language: str
    path: str
    archive: str  # that holds it, or empty


@dataclass(frozen=True)
class Part:
    """A split as released: its name there and the texts that make it up, in order."""

    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Nested:
    """An archive that can also be had as a member of a larger one."""

    outer: str
    path: str


@dataclass(frozen=True)
class Counts:
    """Published or measured counts. Those of lines are checked, the others are only shown.

    `tokens` (by "split.lang") are subwords with the ends of sentence, as fairseq counts them;
    `dictionary` (by language) are fairseq's types. `inferred`: lines of a part that are believed
    but neither published nor measured, so shown and not checked.
    """

    cleaned: int | None = None  # pairs of the training text after clean_tokens
    splits: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    dictionary: Mapping[str, int] = field(default_factory=dict)
    inferred: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """Everything that decides a prepared corpus, beside the files themselves.

    `parts` are train, valid (unless `recipe.valid_every` makes it), test, test1, ...: the order
    by which fairseq numbers the test sets. A corpus without a split has the one part "all", which
    is divided: by `recipe.held_out`, or each pair by its sentence in the language `divide_by` (see
    `clean.split_of`). `at_hand`: the files of the texts, where they need not be found.
    """

    name: str
    pair: str  # source-target
    parts: Mapping[str, Part]
    recipe: Recipe
    counts: Counts = Counts()
    sources: str = ""  # its key in sources.tsv
    layout: str = ""  # subfolder of --source-dir in which the release keeps its files
    nested: Mapping[str, Nested] = field(default_factory=dict)
    divide_by: str = ""
    at_hand: Mapping[str, Path] = field(default_factory=dict)
    train_options: str = ""  # of labo train, for the closing line
    note: str = ""

    @property
    def languages(self) -> tuple[str, str]:
        source, _, target = self.pair.partition("-")
        return source, target

    @property
    def is_divided(self) -> bool:
        """Whether the release has no split."""
        return "all" in self.parts

    @property
    def splits(self) -> list[str]:
        """train, valid, test, test1, ... in this order."""
        if self.is_divided:
            return ["train", "valid", "test"]
        names = list(self.parts)
        return names if self.recipe.valid_every is None else ["train", "valid", *names[1:]]

    def split_name(self, split: str) -> str:
        """Return what the release calls a split."""
        if self.is_divided:
            return self.note
        if split in self.parts:
            return self.parts[split].name
        return f"one of every {self.recipe.valid_every} of train"

    def expected_lines(self, split: str) -> int | None:
        """Return the published number of pairs of a split, or None."""
        if split in self.counts.splits or split not in self.parts:
            return self.counts.splits.get(split)
        is_cleaned = split == "train" and (
            self.recipe.valid_every or self.recipe.clean_tokens or self.recipe.clean_subwords
        )
        known = [member.expected_lines or 0 for member in self.parts[split].members]
        return None if is_cleaned or 0 in known else sum(known)

    def texts(self) -> Iterator[Text]:
        """Yield every text of the release."""
        for part, content in self.parts.items():
            for number, member in enumerate(content.members):
                source, target = self.languages
                for lang, other, side in ((source, target, "src"), (target, source, "ref")):
                    names = {"lang": lang, "other": other, "side": side}
                    path, archive = member.path.format(**names), member.archive.format(**names)
                    yield Text(part, number, member, lang, path, archive)
