"""The complements of a verb: objects, prepositional phrases, places, fixed words."""

from abc import ABC, abstractmethod
from dataclasses import replace

from microworld import adverbials, lexicon
from microworld import grammar as g
from microworld import phrases as p
from microworld.draw import Phrases, object_part
from microworld.nouns import tagged
from microworld.tables import word_set

REFLEXIVE = {
    (1, False): ("mich", "mir"), (2, False): ("dich", "dir"), (3, False): ("sich", "sich"),
    (1, True): ("uns", "uns"), (2, True): ("euch", "euch"), (3, True): ("sich", "sich"),
}  # fmt: skip
CREATING = word_set("write bake cook make build paint write")


class Complements(Phrases, ABC):
    """Draws the complements that a frame asks for."""

    @abstractmethod
    def relative(
        self, phrase: p.NounPhrase, depth: int, verb: str = "", avoid: p.NounPhrase | None = None
    ) -> p.NounPhrase:
        """The phrase with a relative clause; it takes whole clauses to draw one."""

    def other(self, classes: str, subject: p.NounPhrase, *, generic: bool = False) -> p.NounPhrase:
        """A phrase of these classes that does not repeat the subject."""
        while True:
            noun = self.rng.choice(tagged(classes))
            if generic and noun.de_plural != "-" and self.chance(0.6):
                return p.noun_phrase(noun, "", plural=True)
            if "person" in noun.tags and self.chance(0.3):
                phrase = p.name_phrase(self.rng.choice(lexicon.NAMES))
            else:
                owned = subject.human or subject.pronoun
                phrase = self.common(noun, owner=subject if owned else None)
            different = phrase.name != subject.name or not phrase.name
            if different and (phrase.noun is None or phrase.noun != subject.noun):
                if generic and not phrase.definite:
                    continue
                return phrase

    def complement(
        self, spec: str, subject: p.NounPhrase, neg: bool, depth: int, verb: str
    ) -> g.Part:
        """The part for one complement of a frame (see frames)."""
        head, _, classes = spec.partition(":")
        kind, *words = head.split()
        if kind in ("acc", "acc*", "dat", "dat>to"):
            return part_for(spec, self.object_phrase(classes, subject, neg, depth, kind, verb))
        if kind == "P":
            preposition = " ".join(words[2:])
            phrase = self.other(classes, subject, generic=words[1].endswith("*"))
            while preposition and phrase.plural:
                phrase = self.other(classes, subject)
            return part_for(spec, phrase)
        return self._fixed(spec, kind, classes, subject, neg)

    def _fixed(
        self, spec: str, kind: str, classes: str, subject: p.NounPhrase, neg: bool
    ) -> g.Part:
        if kind == "R":
            forms = REFLEXIVE[(subject.person, subject.plural)]
            return g.Part(forms[spec == "R dat"], "", g.PRONOUN, 0, "reflexive")
        if kind in ("D", "L"):
            german, english = self.place(classes, motion=kind == "D")
            return g.Part(german, english, g.INNER, 30, "dir")
        if kind in ("C", "CD", "CV"):
            city = self.rng.choice(adverbials.CITIES).split()
            german = {"C": "in", "CD": "nach", "CV": "aus"}[kind]
            english = {"C": "in", "CD": "to", "CV": "from"}[kind]
            return g.Part(f"{german} {city[0]}", f"{english} {city[1]}", g.INNER, 30, "dir")
        if kind == "I":
            noun = self.rng.choice(tagged("instrument")[:5])
            return g.Part(noun.de, f"the {noun.en}", g.INNERMOST, 20, "fixed")
        if kind == "LANG":
            german, english = self.rng.choice(adverbials.LANGUAGES).split()
            return g.Part(german, english, g.INNERMOST, 20, "fixed")
        german, _, english = spec[2:].partition("=")
        if neg and german.startswith(("eine ", "ein ")):
            no_phrase = replace(p.IT, negative=True, pronoun=False)
            return g.Part(f"k{german}", english, g.INDEFINITE, 20, "fixed", phrase=no_phrase)
        rank = g.OBJECT if german.startswith(("die ", "den ", "das ")) else g.INNERMOST
        if german in ("Angst", "eine Karte"):  # a prepositional object of the noun follows
            rank = g.INNER
        english = english.replace("POSS", p.possessive(subject)[1])
        return g.Part(german, english, rank, 20, "fixed")

    def object_phrase(
        self,
        classes: str,
        subject: p.NounPhrase,
        neg: bool,
        depth: int,
        kind: str,
        verb: str,
    ) -> p.NounPhrase:
        """The phrase of an accusative or dative object, negated or with a relative clause."""
        phrase = self.other(classes, subject)
        if phrase.human and self.chance(0.12) and subject.person != 3:
            return p.pronoun_for(phrase) if not phrase.neuter_person else phrase
        if neg and not phrase.definite and phrase.noun is not None and kind == "acc":
            return p.noun_phrase(phrase.noun, "kein", plural=phrase.plural)
        if depth and kind == "acc" and verb not in CREATING and self.chance(0.22):
            return self.relative(phrase, depth - 1, verb=verb, avoid=subject)
        return phrase


def part_for(spec: str, phrase: p.NounPhrase) -> g.Part:
    """The object or prepositional part that a complement's specification makes of a phrase."""
    kind, *words = spec.partition(":")[0].split()
    if kind != "P":
        part = object_part(phrase, kind[:3], {"acc": 20, "acc*": 20, "dat": 10}.get(kind, 25))
        return replace(part, en=f"to {part.en}") if kind == "dat>to" else part
    preposition = " ".join(words[2:])
    return g.Part(
        phrase.after(words[0], words[1].strip("*")),
        f"{preposition} {phrase.object_en}".strip(),
        g.INNER,
        30 if preposition else 20,
        "dir" if preposition else "prep",
        phrase=phrase,
    )
