"""Random noun phrases and adverbials that make sense, drawn from the lexicon."""

from random import Random

from microworld import adverbials, lexicon
from microworld import grammar as g
from microworld import phrases as p
from microworld.german import Noun, adjective_ending, contract, determiner
from microworld.nouns import tagged
from microworld.tables import word_set

# Things one usually speaks of as known: the kitchen, the front door.
HOUSEHOLD = word_set("room openable lockable device wall tap painted table cold leadable")
COUNTED = word_set("animal fruit plant young text gift letter baked laid clothing stood")
UNOWNED = word_set(
    "person animal fruit food drink dish plant building show task exam song mass wall"
)


class Phrases:
    """Draws noun phrases; everything random comes from `rng`."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def chance(self, share: float) -> bool:
        """True in this share of the draws."""
        return self.rng.random() < share

    def some_adjectives(self, noun: Noun, share: float) -> tuple[lexicon.Adjective, ...]:
        """No, one or (rarely) two adjectives that fit a noun, in German order."""
        fitting = lexicon.adjectives_for(noun)
        for tag, unfit in (("one", "jung"), ("hot", "kalt")):
            if tag in noun.tags:
                fitting = tuple(adjective for adjective in fitting if adjective.de != unfit)
        if not fitting or not self.chance(share):
            return ()
        first = self.rng.choice(fitting)
        if not self.chance(0.12):
            return (first,)
        later = [other for other in fitting if other.order > max(first.order, 2)]
        return (first, self.rng.choice(later)) if later else (first,)

    def person(self, classes: str = "person", *, clear: bool = False) -> p.NounPhrase:
        """A human noun phrase or name; `clear` leaves out those with doubtful pronouns."""
        names = "person" in classes.split(",") or "adult" in classes.split(",")
        if names and self.chance(0.35):
            return p.name_phrase(self.rng.choice(lexicon.NAMES))
        while True:
            phrase = self.common(self.rng.choice(tagged(classes)))
            if not (clear and (phrase.neuter_person or not phrase.definite)):
                return phrase

    def common(self, noun: Noun, *, owner: p.NounPhrase | None = None) -> p.NounPhrase:
        """A phrase around a noun with a likely determiner, number and adjective."""
        adjectives = self.some_adjectives(noun, 0.36)
        roll = self.rng.random()
        if noun.tags & HOUSEHOLD and self.chance(0.8):
            roll *= 0.55
        if "kin" in noun.tags:
            return self._owned(
                noun, owner, adjectives, plural=roll < 0.12 and "one" not in noun.tags
            )
        if "only" in noun.tags:
            return p.noun_phrase(noun)
        if "mass" in noun.tags:
            return p.noun_phrase(noun, "der" if roll < 0.4 else "", adjectives=adjectives)
        if noun.gender == "p":
            return p.noun_phrase(noun, "der" if roll < 0.6 else "viele", adjectives=adjectives)
        if noun.de_plural == "-":
            det = "der" if roll < 0.5 else "ein"
            return p.noun_phrase(noun, det, adjectives=adjectives)
        if owner is not None and not noun.tags & UNOWNED and roll < 0.25:
            return self._owned(noun, owner, adjectives, plural=roll < 0.03)
        return self._article(noun, adjectives, roll)

    def _article(
        self, noun: Noun, adjectives: tuple[lexicon.Adjective, ...], roll: float
    ) -> p.NounPhrase:
        if roll < 0.55:
            return p.noun_phrase(noun, "der", adjectives=adjectives)
        if roll < 0.78:
            return p.noun_phrase(noun, "ein", adjectives=adjectives)
        if roll < 0.83:
            return p.noun_phrase(noun, "dies", adjectives=adjectives)
        if roll < 0.91:
            return p.noun_phrase(noun, "der", plural=True, adjectives=adjectives)
        if roll < 0.95 and noun.tags & COUNTED and not noun.tags & HOUSEHOLD:
            german, english = self.rng.choice(adverbials.NUMBERS[:5]).split()
            return p.noun_phrase(noun, german, plural=True, adjectives=adjectives, en_det=english)
        det = self.rng.choice(("viele", "einige", "mehrere"))
        return p.noun_phrase(noun, det, plural=True, adjectives=adjectives)

    def _owned(
        self,
        noun: Noun,
        owner: p.NounPhrase | None,
        adjectives: tuple[lexicon.Adjective, ...],
        *,
        plural: bool,
    ) -> p.NounPhrase:
        roll = self.rng.random()
        if owner is not None and not owner.neuter_person and (roll < 0.6 or owner.pronoun):
            german, english = p.possessive(owner)
            return p.noun_phrase(noun, german, plural=plural, adjectives=adjectives, en_det=english)
        if roll < 0.8:
            name = self.rng.choice(lexicon.NAMES[:20]).split()[0]
            if owner is None or owner.name != name:
                # "Lenas Fernseher" does not show its number.
                plural = plural and noun.de != noun.de_plural
                en = f"{name}'s"
                return p.noun_phrase(
                    noun, f"{name}s", plural=plural, adjectives=adjectives, en_det=en
                )
        det = self.rng.choice(("mein", "mein", "unser", "dein"))
        return p.noun_phrase(noun, det, plural=plural, adjectives=adjectives)

    def subject(self, classes: str, *, clear: bool = False) -> p.NounPhrase:
        """A subject of these classes; people are also pronouns."""
        if classes.startswith(("person", "adult", "young")):
            if not clear and classes != "young" and self.chance(0.3):
                keys = ("ichs", "dus", "ers", "sies", "wirp", "ihrp", "siep", "ers", "sies", "ichs")
                return p.PRONOUNS[self.rng.choice(keys)]
            return self.person(classes, clear=clear)
        while True:
            phrase = self.common(self.rng.choice(tagged(classes)))
            if not clear or phrase.definite:
                return phrase

    def place(self, group: str, *, motion: bool = False) -> tuple[str, str]:
        """A place of rest or motion in both languages, sometimes with an adjective."""
        place = self.rng.choice(adverbials.places(group))
        case = "acc" if motion and place.motion != "zu" else "dat"
        preposition = place.motion if motion else place.rest
        english = place.en_motion if motion else place.en_rest
        adjective = ""
        if "+" in english and self.chance(0.15):
            choices = adverbials.PLACE_ADJECTIVES.split(",")
            choices = choices[2:] if place.noun in adverbials.NATURE else choices
            de, en = self.rng.choice(choices).split()
            adjective = f"{de}{adjective_ending('weak', case, place.gender)} "
            english = english.replace("+", f"{en} ")
        article = determiner("der", case, place.gender)
        text = contract(preposition, f"{article} {adjective}{place.noun}")
        return text, english.replace("+", "")

    def time(self, kind: str, *, long: bool = False) -> g.Part:
        """A time adverbial for P(rogressive), T (past), F(uture) or H(abit) clauses."""
        lines = [line.split("|") for line in adverbials.TIMES.strip().splitlines()]
        fitting = [line for line in lines if kind in line[2] and (long or "L" not in line[2])]
        german, english, _ = self.rng.choice(fitting)
        day = self.rng.choice(adverbials.DAYS).split()
        number = self.rng.choice(adverbials.NUMBERS).split()
        return g.Part(
            german.format(day=day[0], n=number[0]),
            english.format(day=day[1], n=number[1]),
            g.TIME,
            60,
            "time",
            front=True,
        )

    def frequency(self) -> g.Part:
        """A frequency adverb: "oft", "nie", ..."""
        german, english = self.rng.choice(adverbials.FREQUENCIES).split()
        return g.Part(german, english, g.FREQUENCY, 0, "frequency")


def object_part(phrase: p.NounPhrase, case: str, position: int) -> g.Part:
    """An accusative or dative object."""
    if phrase.pronoun:
        return g.Part(phrase.de(case), phrase.object_en, g.PRONOUN, position, case, phrase=phrase)
    rank = g.OBJECT if phrase.definite else g.INDEFINITE
    if case == "dat":
        rank = g.DATIVE
    return g.Part(
        phrase.bare(case),
        phrase.object_en,
        rank,
        position,
        case,
        front=phrase.definite and not phrase.negative,
        later=phrase.de_relative,
        phrase=phrase,
    )
