"""Sentence templates for facts: weather, hours, ages, prices, durations, the passive."""

from dataclasses import replace

from microworld import adverbials, german
from microworld import grammar as g
from microworld.describe import Describing
from microworld.english import participle
from microworld.frames import frames, frames_with
from microworld.nouns import tagged
from microworld.simple import Pair
from microworld.tables import word_set

SCENES = (
    "der Hahn tropft|the tap is dripping", "der Wasserhahn tropft|the tap is dripping",
    "die Blätter fallen von den Bäumen|the leaves are falling from the trees",
    "die Sonne scheint|the sun is shining", "es regnet|it is raining", "es schneit|it is snowing",
    "ein kalter Wind weht|a cold wind is blowing", "das Telefon klingelt|the telephone is ringing",
    "das Feuer brennt|the fire is burning", "der Mond scheint|the moon is shining",
    "das Wasser kocht|the water is boiling", "die Glocken läuten|the bells are ringing",
)  # fmt: skip


PASSIVE = word_set(
    "reparieren waschen verkaufen putzen auf|räumen öffnen streichen bauen backen kochen "
    "ab|schließen besichtigen bestellen füttern mieten gießen pflanzen"
)


class Facts(Describing):
    """Draws facts; each template returns a German and an English sentence."""

    def scene(self) -> Pair:
        """ "Es regnet.", perhaps after a place or with a time."""
        de, en = self.rng.choice(SCENES).split("|")
        if self.chance(0.5):
            time = self.rng.choice(("jetzt now", "gerade right now", "wieder again"))
            word, _, english_word = time.partition(" ")
            subject, _, rest = de.rpartition(" ")
            if " von " in de:
                return self.scene()
            if word != "wieder" and self.chance(0.5):
                first = f"{word} {rest} {subject}"
                return g.finish(first), g.finish(f"{english_word} {en}")
            return g.finish(f"{de} {word}"), g.finish(f"{en} {english_word}")
        knower = self.person()
        sees = self.rng.choice(("sehen see", "merken notice", "hören hear")).split()
        if sees[0] == "hören" and not any(
            w in de for w in ("klingelt", "läuten", "tropft", "weht")
        ):
            sees = ["sehen", "see"]
        clause = g.Clause(knower, sees[0], sees[1])
        subject, _, verb = de.rpartition(" ")
        if " von " in de:
            subject, verb = "die Blätter von den Bäumen", "fallen"
        main = g.german_main(clause)
        return g.finish(f"{main}, dass {subject} {verb}"), g.finish(
            f"{g.english_main(clause)} that {en}"
        )

    def number(self) -> Pair:
        """Hours, ages and prices."""
        n, number = self.rng.choice(adverbials.NUMBERS).split()
        roll = self.rng.random()
        if roll < 0.25:
            traveller = self.subject("public")
            if traveller.plural:
                return self.number()
            verb = self.rng.choice(("an|kommen arrive", "ab|fahren leave")).split()
            hour = g.Part(f"um {n} Uhr", f"at {number} o'clock", g.TIME, 60, "time", front=True)
            clause = g.Clause(
                traveller,
                verb[0],
                verb[1],
                (hour,),
                *self.rng.choice((("pres", "pres"), ("perf", "past"), ("fut", "fut"))),
            )
            return self.pair(clause, hour if self.chance(0.4) else None)
        if roll < 0.6:
            person = self.subject("young,sibling" if self.chance(0.7) else "pet")
            age = g.Part(f"{n} Jahre alt", f"{number} years old", g.INNER, 20, "predicate")
            past = self.chance(0.2)
            tense = ("pret", "past") if past else ("pres", "pres")
            return self.pair(g.Clause(person, "sein", "be", (age,), *tense, neg=self.chance(0.1)))
        thing = self.definite(self.rng.choice(tagged("clothing,gift&thing,dish,show")))
        cost = g.Part(f"nur {n} Euro", f"only {number} euros", g.INNER, 20, "fixed")
        if self.chance(0.6):
            cost = replace(cost, de=f"{n} Euro", en=f"{number} euros")
        return self.pair(g.Clause(thing, "kosten", "cost", (cost,)))

    def duration(self) -> Pair:
        """ "Sie wohnt seit drei Jahren in Berlin.": present tense for the English perfect."""
        frame = self.rng.choice(frames_with("d"))
        clause = self.clause(frame, "S", plain=True, neg=False)
        n, number = self.rng.choice(adverbials.NUMBERS).split()
        unit, units = self.rng.choice(("Jahren years", "Monaten months", "Wochen weeks")).split()
        since = g.Part(f"seit {n} {unit}", f"for {number} {units}", g.TIME, 60, "since", front=True)
        clause = replace(clause.plus(since), en_tense="perfprog")
        if frame.de == "arbeiten" and not frame.complements:
            de, en = self.place("job")
            clause = clause.plus(g.Part(de, en, g.INNER, 50, "dir"))
        return self.pair(clause, since if self.chance(0.35) else None)

    def passive(self) -> Pair:
        """ "Das Fahrrad wird gerade repariert.", "... wurde gestern von Anna verkauft."."""
        frame = self.rng.choice(
            [f for f in frames() if f.de in PASSIVE and f.complements[0].startswith("acc")]
        )
        classes = frame.complements[0].partition(":")[2]
        thing = self.common(self.rng.choice(tagged(classes)))
        if not thing.definite or thing.human:
            return self.passive()
        past = self.chance(0.6) or "p" in frame.flags
        time = self.time("T" if past else "P")
        tail, tense = german.participle(frame.de), ("pret", "past") if past else ("pres", "prog")
        parts = [time] if self.chance(0.6) else []
        if self.chance(0.4):
            agent = self.person("person,kin")
            parts.append(
                g.Part(agent.after("von", "dat"), f"by {agent.object_en}", g.COMPANY, 30, "agent")
            )
        parts.append(g.Part(tail, "", g.INNERMOST + 5, 0, "participle"))
        words = frame.en.replace("~", "").split()
        en = " ".join(["be", participle(words[0]), *words[1:]])
        clause = g.Clause(
            thing, "werden", en, tuple(parts), *tense, neg=len(parts) == 1 and self.chance(0.15)
        )
        return self.pair(clause, self.front(clause))
