"""Clauses of the microworld corpus: one structure, laid out by German and by English word order.

A `Clause` holds a subject, a verb and parts; the functions here put it into main-clause,
subordinate, question, infinitive and command order. The texts have no capital and no full stop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from microworld import english, german
from microworld.phrases import NounPhrase
from microworld.tables import word_set

# Ranks in the German middle field: pronouns, dative, time, frequency, definite object, "nicht",
# manner, place, indefinite object, what belongs closest to the verb.
PRONOUN, DATIVE, TIME, FREQUENCY, OBJECT, NOT = 0, 20, 30, 32, 40, 50
MANNER, COMPANY, PLACE, INDEFINITE, INNER, INNERMOST = 57, 56, 58, 60, 80, 85
WITH_SEIN = word_set(
    "gehen kommen fahren fliegen laufen reisen schwimmen springen bleiben sein werden fallen "
    "stehen(auf schlafen(ein wachen(auf steigen folgen"
)
ENGLISH_MODALS = {
    "können": ("can", "be able to"), "müssen": ("have to", "have to"),
    "wollen": ("want to", "want to"),
    "dürfen": ("be allowed to", "be allowed to"), "sollen": ("should", "should"),
    "würden": ("would", "would"), "möchten": ("would like to", "would like to"),
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A complement or adverbial: both texts, German rank and English position.

    `role` says what it is ("acc", "dat", "prep", "time", "frequency", "manner", "place", "dir",
    "fixed", "not"); `later` is a German relative clause that may follow the verb; `front` tells
    whether German may begin the sentence with it; `phrase` is the noun phrase inside.
    """

    de: str
    en: str
    rank: int
    position: int
    role: str
    front: bool = False
    later: str = ""
    phrase: NounPhrase | None = None


@dataclass(frozen=True)
class Clause:
    """A clause before word order.

    German `tense` is "pres", "pret", "perf", "plup" or "fut"; `en_tense` is a tense of
    `english.verb_group`; `modal` is a German modal infinitive or "".
    """

    subject: NounPhrase
    verb: str
    en: str
    parts: tuple[Part, ...] = ()
    tense: str = "pres"
    en_tense: str = "pres"
    modal: str = ""
    likes: bool = False
    neg: bool = False

    def without(self, part: Part) -> Clause:
        """The same clause with one part taken out."""
        return replace(self, parts=tuple(p for p in self.parts if p is not part))

    def plus(self, *parts: Part) -> Clause:
        """The same clause with more parts."""
        return replace(self, parts=self.parts + parts)

    def part(self, *roles: str) -> Part | None:
        """The first part with one of these roles."""
        return next((part for part in self.parts if part.role in roles), None)


def tidy(text: str) -> str:
    """Merge the commas and spaces that joining clauses leaves behind."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"(\s*,)+", ",", text)
    return text.strip(" ,")


def finish(text: str, mark: str = ".") -> str:
    """A sentence: tidied, with a capital and an end mark."""
    text = tidy(text)
    return text[0].upper() + text[1:] + mark


def takes_sein(verb: str) -> bool:
    """Whether the Perfekt of a verb is formed with "sein"."""
    prefix, base = german.split_verb(verb)
    return base in WITH_SEIN or f"{base}({prefix}" in WITH_SEIN


def verb_complex(clause: Clause) -> tuple[str, str, str]:
    """(finite verb, right bracket of a main clause, verbs at the end of a subordinate clause)."""
    person, plural = clause.subject.person, clause.subject.plural
    form = german.preterite if clause.tense in ("pret", "plup") else german.present
    if clause.modal:
        bracket, head = german.infinitive(clause.verb), clause.modal
    elif clause.tense == "fut":
        bracket, head = german.infinitive(clause.verb), "werden"
    elif clause.tense in ("perf", "plup"):
        bracket = german.participle(clause.verb)
        head = "sein" if takes_sein(clause.verb) else "haben"
    else:
        finite = form(clause.verb, person, plural)
        prefix = german.split_verb(clause.verb)[0]
        return finite, prefix.strip(), prefix + finite
    finite = form(head, person, plural)
    return finite, bracket, f"{bracket} {finite}"


def _middle(parts: tuple[Part, ...], neg: bool) -> tuple[str, str]:
    """The German middle field, and a relative clause to put after the verb (or "")."""
    ranked = list(parts)
    if neg and not any(p.phrase is not None and p.phrase.negative for p in parts):
        ranked.append(Part("nicht", "", NOT, 0, "not"))
    ranked.sort(key=lambda part: part.rank)
    words = []
    for index, part in enumerate(ranked):
        last = index == len(ranked) - 1
        words.append(part.de if last or not part.later else f"{part.de}, {part.later},")
    later = f", {ranked[-1].later}," if ranked and ranked[-1].later else ""
    return " ".join(words), later


def german_main(clause: Clause, front: str | Part | None = None) -> str:
    """Verb-second order; `front` (a text, or one of the parts) pushes the subject back."""
    finite, bracket, _ = verb_complex(clause)
    subject = clause.subject.de("nom")
    if isinstance(front, Part):
        middle, later = _middle(clause.without(front).parts, clause.neg)
        first = f"{front.de}, {front.later}," if front.later else front.de
        return tidy(f"{first} {finite} {subject} {middle} {bracket}{later}")
    middle, later = _middle(clause.parts, clause.neg)
    if front is not None:
        return tidy(f"{front} {finite} {subject} {middle} {bracket}{later}")
    return tidy(f"{subject} {finite} {middle} {bracket}{later}")


def german_subordinate(clause: Clause, conjunction: str, *, subject: bool = True) -> str:
    """Verb-final order after a conjunction or (with subject=False) a relative subject."""
    middle, later = _middle(clause.parts, clause.neg)
    who = clause.subject.de("nom") if subject else ""
    return tidy(f"{conjunction} {who} {middle} {verb_complex(clause)[2]}{later}")


def german_question(clause: Clause, word: str = "", *, subject: bool = True) -> str:
    """A question, verb first or after a question word (which may be the subject itself)."""
    finite, bracket, _ = verb_complex(clause)
    middle, later = _middle(clause.parts, clause.neg)
    who = clause.subject.de("nom") if subject else ""
    return tidy(f"{word} {finite} {who} {middle} {bracket}{later}")


def german_infinitive(clause: Clause, before: str = "") -> str:
    """ "die Tür aufzumachen", after an optional "um" or "ohne"."""
    middle, later = _middle(clause.parts, clause.neg)
    return tidy(f"{before} {middle} {german.zu_infinitive(clause.verb)}{later}")


def german_command(clause: Clause, addressee: str, please: bool) -> str:
    """A command to "du", "ihr" or "Sie"."""
    prefix = german.split_verb(clause.verb)[0].strip()
    who = " Sie" if addressee == "Sie" else ""
    polite = Part("bitte", "", TIME, 0, "please")
    middle, later = _middle(clause.parts + ((polite,) if please else ()), clause.neg)
    return tidy(f"{german.imperative(clause.verb, addressee)}{who} {middle} {prefix}{later}")


def _english_verbs(clause: Clause, *, question: bool) -> tuple[str, str]:
    verb = clause.en.replace("POSS", "")
    tense, agree = clause.en_tense, (clause.subject.person, clause.subject.en_plural)
    if clause.modal:
        past = tense in ("past", "pastprog")
        verb = f"{ENGLISH_MODALS[clause.modal][past]}|{verb}"
        tense = "past" if past else "pres"
    elif clause.likes:
        verb, tense = f"like to|{verb}", "past" if tense == "past" else "pres"
    return english.verb_group(verb, tense, *agree, question=question, neg=clause.neg)


def _english_rest(verbs: str, parts: tuple[Part, ...]) -> str:
    """Verbs and parts in English order; a movable particle goes behind a pronoun object."""
    ordered = sorted(parts, key=lambda part: part.position)
    texts = [part.en for part in ordered if part.role != "frequency" and part.en]
    words, tilde, particle = verbs.partition("~")
    if tilde:
        moved = ordered and ordered[0].phrase is not None and ordered[0].phrase.pronoun
        texts = [texts[0], particle, *texts[1:]] if moved else [particle, *texts]
    return " ".join([words, *texts])


def english_main(clause: Clause, front: Part | None = None, *, subject: str | None = None) -> str:
    """Statement order, after an adverbial if `front` is one; `subject` replaces the subject."""
    aux, rest = _english_verbs(clause, question=False)
    parts = clause.parts if front is None else clause.without(front).parts
    frequency = next((part.en for part in parts if part.role == "frequency"), "")
    who = clause.subject.subject_en if subject is None else subject
    negation = "not" if clause.neg else ""
    first = "" if front is None else front.en
    text = tidy(f"{first} {who} {aux} {negation} {frequency} {_english_rest(rest, parts)}")
    return text.replace(" can not ", " cannot ")


def english_question(clause: Clause, word: str = "") -> str:
    """A question with do-support, after an optional question word that is not the subject."""
    aux, rest = _english_verbs(clause, question=True)
    frequency = next((part.en for part in clause.parts if part.role == "frequency"), "")
    who = clause.subject.subject_en
    negation = "not" if clause.neg else ""
    return tidy(f"{word} {aux} {who} {negation} {frequency} {_english_rest(rest, clause.parts)}")


def english_infinitive(clause: Clause, *, form: str = "to") -> str:
    """ "to open the door"; with form="ing" "opening the door"; with form="" the bare verb."""
    head, _, tail = clause.en.partition(" ")
    words = f"{english.ing(head) if form == 'ing' else head} {tail}"
    return tidy(f"{form if form == 'to' else ''} {_english_rest(words, clause.parts)}")
