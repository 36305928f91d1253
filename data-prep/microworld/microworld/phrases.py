"""Noun phrases in both languages, agreeing in gender, case and number."""

from dataclasses import dataclass, replace

from microworld.english import article
from microworld.german import (
    CASES,
    EIN_WORDS,
    RELATIVE,
    Noun,
    adjective_ending,
    adjective_kind,
    contract,
    determiner,
)
from microworld.lexicon import Adjective

ENGLISH_DETERMINERS = {
    "der": "the", "kein": "no", "dies": "this", "welch": "which",
    "viele": "many", "einige": "some", "mehrere": "several", "mein": "my", "dein": "your",
    "unser": "our",
}  # fmt: skip
WORD_LIKE_ADJECTIVES = ("viele", "einige", "mehrere")


@dataclass(frozen=True)
class NounPhrase:
    """A noun phrase: German text by case, English text, and what agreement needs.

    `gender` is the grammatical one ("p" for plurals), `sex` the one English pronouns follow
    ("m", "f", or "n" for things). A relative clause is kept apart, so that German can move it.
    """

    cases: tuple[str, str, str, str]
    en: str
    en_object: str
    gender: str
    sex: str
    person: int = 3
    plural: bool = False
    en_plural: bool = False
    pronoun: bool = False
    definite: bool = True
    negative: bool = False
    noun: Noun | None = None
    name: str = ""
    de_relative: str = ""
    en_relative: str = ""

    def de(self, case: str) -> str:
        """The German text in a case, with its relative clause."""
        text = self.cases[CASES.index(case)]
        return f"{text}, {self.de_relative}," if self.de_relative else text

    def bare(self, case: str) -> str:
        """The German text in a case, without its relative clause."""
        return self.cases[CASES.index(case)]

    def after(self, preposition: str, case: str) -> str:
        """The German phrase after a preposition, contracted where German contracts."""
        return self.de(case) if not preposition else contract(preposition, self.de(case))

    @property
    def subject_en(self) -> str:
        """The English text as a subject."""
        return f"{self.en} {self.en_relative}".strip()

    @property
    def object_en(self) -> str:
        """The English text as an object."""
        return f"{self.en_object} {self.en_relative}".strip()

    @property
    def human(self) -> bool:
        """Whether English refers to it by who, he or she."""
        return bool(self.name) or (self.noun is not None and "person" in self.noun.tags)

    @property
    def open(self) -> bool:
        """Whether a restrictive relative clause may follow: not after "mein" or "Annas"."""
        first = self.cases[0].split()[0]
        possessives = tuple(word for word in EIN_WORDS if word not in ("ein", "kein"))
        return not self.pronoun and first[0].islower() and not first.startswith(possessives)

    @property
    def neuter_person(self) -> bool:
        """das Kind, das Mädchen: later pronouns would be doubtful in one language."""
        return self.human and self.gender == "n"


def _pronoun(spec: str) -> NounPhrase:
    nom, acc, dat, en, en_object, gender, sex, person, number = spec.split()
    plural = number == "p"
    en_plural = plural or person == "2"
    return NounPhrase(
        (nom, acc, dat, ""), en, en_object, gender, sex, int(person), plural, en_plural, True
    )


PRONOUNS: dict[str, NounPhrase] = {
    spec.split()[0] + spec.split()[-1]: _pronoun(spec)
    for spec in (
        "ich mich mir I me m m 1 s", "du dich dir you you m m 2 s", "er ihn ihm he him m m 3 s",
        "sie sie ihr she her f f 3 s", "es es ihm it it n n 3 s", "wir uns uns we us p m 1 p",
        "ihr euch euch you you p m 2 p", "sie sie ihnen they them p m 3 p",
    )
}  # fmt: skip
FORMAL = _pronoun("Sie Sie Ihnen you you p m 3 p")
IT = PRONOUNS["ess"]


def name_phrase(entry: str) -> NounPhrase:
    """The phrase of a "Name gender" entry: "Anna f", "Herr Schmidt m" (den Herrn Schmidt)."""
    name, _, gender = entry.rpartition(" ")
    oblique = name.replace("Herr ", "Herrn ")
    english = name.replace("Herr ", "Mr ").replace("Frau ", "Mrs ")
    return NounPhrase(
        (name, oblique, oblique, oblique + "s"), english, english, gender, gender, name=name
    )


def pronoun_for(phrase: NounPhrase) -> NounPhrase:
    """The pronoun that takes a phrase up again: der Tisch - er (it), Anna - sie (she)."""
    if phrase.pronoun:
        return phrase
    if phrase.plural or phrase.gender == "p":
        return PRONOUNS["siep"]
    german = PRONOUNS[{"m": "ers", "f": "sies", "n": "ess"}[phrase.gender]]
    if phrase.human:
        return german
    if phrase.en_plural:
        return replace(german, en="they", en_object="them", sex="n", en_plural=True)
    return replace(german, en="it", en_object="it", sex="n")


def possessive(owner: NounPhrase) -> tuple[str, str]:
    """The possessive of an owner in both languages: ("sein", "his"), ("ihr", "their"), ..."""
    if owner.cases[0] == "Sie":
        return "Ihr", "your"
    if owner.person == 1:
        return ("unser", "our") if owner.plural else ("mein", "my")
    if owner.person == 2:
        return ("euer", "your") if owner.plural else ("dein", "your")
    if owner.plural or owner.gender == "p":
        return "ihr", "their"
    return ("ihr" if owner.gender == "f" else "sein"), {"m": "his", "f": "her", "n": "its"}[
        owner.sex
    ]


def _german(noun: Noun, det: str, plural: bool, adjectives: tuple[Adjective, ...]) -> list[str]:
    gender = "p" if plural else noun.gender
    kind = adjective_kind(det)
    texts = []
    for case in CASES:
        words = [determiner(det, case, gender)] if kind != "strong" else []
        if det in WORD_LIKE_ADJECTIVES:
            words.append(det[:-1] + adjective_ending("strong", case, "p"))
        elif det and kind == "strong":
            words.append(det)
        words += [a.stem + adjective_ending(kind, case, gender) for a in adjectives]
        texts.append(" ".join([*words, noun.form(case, plural)]))
    return texts


def _english_core(
    noun: Noun, det: str, plural: bool, adjectives: tuple[Adjective, ...], en_det: str
) -> str:
    words = [a.en for a in sorted(adjectives, key=lambda a: a.order)]
    core = " ".join([*words, noun.en_plural if plural or "pt" in noun.tags else noun.en])
    if en_det:
        return f"{en_det} {core}"
    if det == "ein":
        return core if "pt" in noun.tags else article(core)
    if det in ENGLISH_DETERMINERS:
        word = ENGLISH_DETERMINERS[det]
        return f"{'these' if det == 'dies' and (plural or 'pt' in noun.tags) else word} {core}"
    return core


def _owned_by(owner: NounPhrase, english: str) -> str:
    """ "my father's car", but "the door of the house"."""
    if not owner.human:
        return f"{english} of {owner.en}"
    ending = "'" if owner.en_plural and owner.en[-1] == "s" else "'s"
    return f"{owner.en}{ending} {english.removeprefix('the ')}"


def noun_phrase(
    noun: Noun,
    det: str = "der",
    *,
    plural: bool = False,
    adjectives: tuple[Adjective, ...] = (),
    en_det: str = "",
    genitive: NounPhrase | None = None,
) -> NounPhrase:
    """Build a phrase; `det` is "der", "ein", "kein", a possessive, dies-, a numeral, "" ...

    `en_det` gives the English determiner where `det` does not imply it ("his", "three");
    `genitive` is an owner: das Auto meines Vaters - my father's car.
    """
    plural = plural or noun.gender == "p"
    cases = _german(noun, det, plural, adjectives)
    english = _english_core(noun, det, plural, adjectives, en_det)
    if genitive is not None:
        cases = [f"{text} {genitive.bare('gen')}" for text in cases]
        english = _owned_by(genitive, english)
    english_object = english
    if det == "kein":
        # An object's "kein" is "not ... a" in English; as a subject it stays "no".
        core = english.removeprefix("no ")
        english_object = f"any {core}" if plural or noun.tags & {"mass", "pt"} else article(core)
    person = "person" in noun.tags
    return NounPhrase(
        (cases[0], cases[1], cases[2], cases[3]),
        english,
        english_object,
        "p" if plural else noun.gender,
        ("f" if noun.gender == "f" or noun.de == "Mädchen" else "m") if person else "n",
        plural=plural,
        en_plural=plural or "pt" in noun.tags,
        # "Annas" in "Annas Buch" is definite although adjectives after it are strong.
        definite=det[:1].isupper()
        or (adjective_kind(det) != "strong" and det not in EIN_WORDS[:2]),
        negative=det == "kein",
        noun=noun,
    )


def relative_pronoun(phrase: NounPhrase, case: str) -> str:
    """The German relative pronoun that agrees with a phrase."""
    return RELATIVE[phrase.gender][CASES.index(case)]
