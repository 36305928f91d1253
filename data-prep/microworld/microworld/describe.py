"""Sentence templates that describe things: what they are like, where they are, whose they are."""

from microworld import english, german, lexicon
from microworld import grammar as g
from microworld import phrases as p
from microworld.nouns import noun_called, tagged
from microworld.simple import Pair, Simple
from microworld.tables import listed, word_set

DESCRIBED = "furniture,vehicle,clothing,home,sight,text&thing,room,task,dish,show,device,instrument"
COMPARED = (
    "pet",
    "farm&grazer",
    "zoo",
    "furniture",
    "vehicle&own",
    "clothing",
    "text&thing,show",
    "sight",
    "adult",
)
OWNABLE = word_set("own clothing furniture home room kin")
UNCOMPARED = word_set("neu hungrig müde arm traurig sauber")
SUPERLATIVE = word_set("alt klein groß schön berühmt modern interessant")
WELCOME = word_set(
    "schön nützlich modern gemütlich hell bequem interessant lustig lecker gut berühmt sauber "
    "spannend neu warm schnell"
)
EXCESSIVE = word_set("alt klein groß teuer schwer lang kurz dunkel kalt langweilig")
OPPOSITES = [
    frozenset(group.split())
    for group in listed(
        "alt neu modern jung,klein groß,lang kurz,teuer billig,sauber schmutzig,hell dunkel,"
        "interessant langweilig spannend lustig,leicht schwer einfach,kaputt modern,traurig lustig,"
        "gut langweilig,warm kalt,neu kaputt,neu schmutzig,kaputt nützlich,gut spannend"
    )
]
PERCEPTION = ("gefallen|like|thing&goods,sight,song,room,show", "schmecken|like|dish,baked,fruit")
LYING = (
    "liegen|laid&thing|auf|on|onto", "liegen|laid&thing|unter|under|under",
    "stehen|stood|auf|on|table,shelf",
    "stehen|furniture&inside,seat&furniture,stood|neben|next to|seat&furniture",
    "hängen|hung|an|on|wall", "liegen|fruit|in|in|cold", "hängen|hung&clothing|in|in|wardrobe",
    "stehen|drink|in|in|cold", "sitzen|bird|in|in|tree",
)  # fmt: skip
# Nouns with two meanings, and others, in surroundings that decide.
ATTRIBUTES = (
    "Schloss lock|Haustür,Gartentür,Garage,Schublade|kaputt broken,alt old,neu new",
    "Dach roof|Haus,Kirche,Museum,Schule|kaputt broken,alt old,rot red",
    "Tür door|Haus,Schrank,Wohnung,Museum|kaputt broken,grün green,neu new",
    "Decke ceiling|Küche,Wohnzimmer,Zimmer,Schule|hoch high,weiß white,grau grey",
    "Birne light bulb|Lampe|kaputt broken,neu new",
    "Wand wall|Zimmer,Küche,Schlafzimmer|gelb yellow,schmutzig dirty,weiß white",
    "Fenster window|Haus,Kirche,Wohnung,Auto|schmutzig dirty,klein small,offen open",
)


def copula(subject: p.NounPhrase, de: str, en: str, *, past: bool, neg: bool = False) -> g.Clause:
    """ "Der Tisch ist alt": a clause with "sein" and a predicate."""
    predicate = g.Part(de, en, g.INNER, 20, "predicate")
    tense = ("pret", "past") if past else ("pres", "pres")
    return g.Clause(subject, "sein", "be", (predicate,), *tense, neg=neg)


class Describing(Simple):
    """Draws descriptions; each template returns a German and an English sentence."""

    def description(self) -> Pair:
        """ "Der Tisch ist alt, aber er ist sehr schön."."""
        noun = self.rng.choice(tagged(DESCRIBED))
        fitting = lexicon.adjectives_for(noun)
        first, second = self.rng.choice(fitting), self.rng.choice(fitting)
        if first.order == second.order == 5 or any({first.de, second.de} <= o for o in OPPOSITES):
            return self.description()
        subject, past = self.definite(noun), self.chance(0.25)
        degrees = ["sehr very", "sehr very", "ganz quite", "nicht not"]
        degrees += ["zu too"] * 2 if first.de in EXCESSIVE else []
        degree = self.rng.choice(degrees).split()
        if first.order == 5:
            degree = ["", ""]
        clause = copula(
            subject, f"{degree[0]} {first.de}".strip(), f"{degree[1]} {first.en}".strip(), past=past
        )
        unlike = degree[0] in ("nicht", "zu") and second.de not in WELCOME
        if self.chance(0.4) or first == second or second.order == 5 or unlike:
            plain = copula(self.relative(subject, 1), first.de, first.en, past=past)
            return self.pair(plain if self.chance(0.5) else clause)
        other = copula(p.pronoun_for(subject), f"auch {second.de}", f"also {second.en}", past=past)
        joint = ("aber", "but") if degree[0] in ("nicht", "zu") else ("und", "and")
        if joint[0] == "aber":
            other = copula(p.pronoun_for(subject), second.de, second.en, past=past)
        de = f"{g.german_main(clause)}, {joint[0]} {g.german_main(other)}"
        return g.finish(de), g.finish(
            f"{g.english_main(clause)}, {joint[1]} {g.english_main(other)}"
        )

    def comparison(self) -> Pair:
        """ "Der Hund ist größer als die Katze", "... so alt wie ...", "... am größten"."""
        classes = self.rng.choice(COMPARED)
        noun, other = self.rng.choice(tagged(classes)), self.rng.choice(tagged(classes))
        common = [
            a
            for a in lexicon.adjectives_for(noun)
            if a in lexicon.adjectives_for(other) and a.higher and a.de not in UNCOMPARED
        ]
        if noun == other or not common:
            return self.comparison()
        adjective = self.rng.choice(common)
        first, second = self.definite(noun), self.definite(other)
        roll, past = self.rng.random(), self.chance(0.2)
        if roll < 0.6:
            de, en = f"{adjective.higher} als", f"{english.comparative(adjective.en)} than"
        elif roll < 0.8:
            de, en = f"so {adjective.de} wie", f"as {adjective.en} as"
        else:
            de, en = f"nicht so {adjective.de} wie", f"not as {adjective.en} as"
        return self.pair(copula(first, f"{de} {second.de('nom')}", f"{en} {second.en}", past=past))

    def definite(self, noun: german.Noun) -> p.NounPhrase:
        """A definite singular phrase with "der", "dies" or a possessive."""
        dets = ["der", "der", "dies"]
        if noun.tags & OWNABLE:
            dets += ["mein", "unser", "dein"]
        det = self.rng.choice(dets)
        return p.noun_phrase(noun, det)

    def superlative(self) -> Pair:
        """ "Das ist das älteste Haus der Stadt."."""
        noun = self.rng.choice(tagged("sight,home"))
        adjective = self.rng.choice(
            [a for a in lexicon.adjectives_for(noun) if a.de in SUPERLATIVE]
        )
        ending = german.adjective_ending("weak", "nom", noun.gender)
        article = german.determiner("der", "nom", noun.gender)
        wholes = ["des Landes|in the country"]
        if noun.de not in ("Stadt", "Dorf", "Rathaus"):
            wholes += ["der Stadt|in the town", "des Dorfes|in the village"]
        place = self.rng.choice(wholes)
        de_place, en_place = place.split("|")
        best = english.superlative(adjective.en)
        return (
            g.finish(f"das ist {article} {adjective.highest}{ending} {noun.de} {de_place}"),
            g.finish(f"this is the {best} {noun.en} {en_place}"),
        )

    def existence(self) -> Pair:
        """ "Auf dem Tisch liegt ein Buch.", "Im Dorf gibt es drei Kirchen."."""
        if self.chance(0.35):
            place = self.place(self.rng.choice(("live", "rest", "walk")))
            phrase = self.common(self.rng.choice(tagged("tree,flower,sight,pet,farm,seat&outdoor")))
            if phrase.definite:
                return self.existence()
            be = english.be("pres", 3, phrase.en_plural)
            return g.finish(f"{place[0]} gibt es {phrase.de('acc')}"), g.finish(
                f"there {be} {phrase.object_en} {place[1]}"
            )
        verb, things, preposition, en_preposition, grounds = self.rng.choice(LYING).split("|")
        phrase = self.common(self.rng.choice(tagged(things)))
        ground = self.definite(self.rng.choice(tagged(grounds)))
        where = ground.after(preposition, "dat")
        finite = german.present(verb, 3, phrase.plural)
        be = english.be("pres", 3, phrase.en_plural)
        if phrase.definite:
            text = f"{phrase.subject_en} {be} {en_preposition} {ground.en}"
            return g.finish(f"{phrase.de('nom')} {finite} {where}"), g.finish(text)
        text = f"there {be} {phrase.subject_en} {en_preposition} {ground.en}"
        return g.finish(f"{where} {finite} {phrase.de('nom')}"), g.finish(text)

    def belonging(self) -> Pair:
        """ "Das Auto gehört meinem Vater.", "Das ist das Auto meines Vaters."."""
        noun = self.rng.choice(tagged("own&thing,clothing,vehicle&own"))
        owner = self._owned(self.rng.choice(tagged("kin")), None, (), plural=False)
        roll = self.rng.random()
        if roll < 0.5:
            thing = p.noun_phrase(
                noun,
                self.rng.choice(("der", "dies")),
                plural=self.chance(0.15) and noun.de_plural != "-",
            )
            dative = (
                owner
                if self.chance(0.6)
                else p.PRONOUNS[self.rng.choice(("ichs", "ers", "sies", "siep"))]
            )
            part = g.Part(dative.de("dat"), dative.object_en, g.DATIVE, 20, "dat")
            clause = g.Clause(thing, "gehören", "belong to", (part,), neg=self.chance(0.25))
            return self.pair(clause)
        if owner.cases[0][0].isupper():  # Annas Bruder has no handy genitive
            return self.belonging()
        thing = p.noun_phrase(
            noun, "der", genitive=owner, adjectives=self.some_adjectives(noun, 0.3)
        )
        if roll < 0.75:
            be = "are" if thing.en_plural else "is"
            this = "these" if thing.en_plural else "this"
            return g.finish(f"das ist {thing.de('nom')}"), g.finish(f"{this} {be} {thing.en}")
        thing = p.noun_phrase(noun, "der", genitive=owner)
        adjective = self.rng.choice(lexicon.adjectives_for(noun))
        return self.pair(copula(thing, adjective.de, adjective.en, past=self.chance(0.2)))

    def part_of(self) -> Pair:
        """ "Das Schloss der Haustür ist kaputt.": what "Schloss" means follows from the rest."""
        what, wholes, qualities = self.rng.choice(ATTRIBUTES).split("|")
        german_noun, english_noun = what.split(" ", 1)
        noun = noun_called(german_noun, english_noun)
        whole = self.definite(noun_called(self.rng.choice(wholes.split(","))))
        phrase = p.noun_phrase(noun, "der", genitive=whole)
        de, en = self.rng.choice(qualities.split(",")).split()
        return self.pair(copula(phrase, de, en, past=self.chance(0.25), neg=self.chance(0.15)))

    def pleasing(self) -> Pair:
        """ "Dem Kind gefällt das Buch.": the German dative is the English subject."""
        verb, en, classes = self.rng.choice(PERCEPTION).split("|")
        thing = self.definite(self.rng.choice(tagged(classes)))
        person = self.subject("person", clear=self.chance(0.5))
        finite = german.present(verb, 3, thing.plural)
        negation, neg = (
            ("nicht", True) if self.chance(0.25) else (self.rng.choice(("", "sehr")), False)
        )
        liking = g.Part("", thing.object_en, 0, 20, "acc")
        clause = g.Clause(person, "mögen", en, (liking,), neg=neg)
        english_text = g.english_main(clause) + (" very much" if negation == "sehr" else "")
        dative, nominative = person.de("dat"), thing.de("nom")
        if person.pronoun and self.chance(0.5):
            return g.finish(f"{nominative} {finite} {dative} {negation}"), g.finish(english_text)
        return g.finish(f"{dative} {finite} {nominative} {negation}"), g.finish(english_text)
