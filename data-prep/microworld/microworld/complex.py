"""Sentence templates with several clauses: subordination, coordination, infinitives."""

from dataclasses import replace

from microworld import grammar as g
from microworld import phrases as p
from microworld.describe import copula
from microworld.facts import Facts
from microworld.frames import Frame, frames_with
from microworld.simple import Pair
from microworld.tables import word_set
from microworld.verbs import STATES

ARRIVALS = (
    "nach Hause kommen | come home", "zu Hause sein | be at home", "Zeit haben | have time",
    "müde sein | be tired", "Hunger haben | be hungry", "Ferien haben | be on holiday",
    "allein sein | be alone", "Besuch haben | have visitors", "frei haben | have the day off",
)  # fmt: skip
WEATHER = (
    "das Wetter schön ist|the weather is nice", "es regnet|it rains", "es kalt ist|it is cold",
    "die Sonne scheint|the sun shines", "es schneit|it snows", "es warm ist|it is warm",
    "es dunkel ist|it is dark",
)  # fmt: skip
NEEDS = {
    "müde sein | be tired": word_set("trinken hören fern|sehen lesen"),
    "Hunger haben | be hungry": word_set("essen kochen backen frühstücken ein|kaufen"),
}
PAST_MOMENTS = (
    "nach Hause kommen | come home",
    "in die Küche kommen | come into the kitchen", "am Bahnhof an|kommen | arrive at the station",
)  # fmt: skip

ROUTINE = word_set(
    "essen trinken frühstücken putzen auf|räumen ein|kaufen kochen backen lesen an|rufen gießen "
    "fern|sehen schwimmen decken spielen tanzen füttern waschen hören fahren"
) | {"spazieren |gehen"}
OUTDOORS = word_set("schwimmen fahren spielen tanzen") | {"spazieren |gehen"}
ON_ARRIVAL = word_set("an|rufen trinken essen frühstücken")
SUNNY = word_set("schwimmen fahren gießen") | {"spazieren |gehen"}
RAINY = word_set("lesen fern|sehen backen kochen hören üben")
RESTING = word_set("schlafen gehen liegen bleiben sitzen setzen machen")


class Complex(Facts):
    """Draws sentences of more than one clause; each template returns a pair."""

    def state(self, subject: p.NounPhrase, text: str, *, past: bool) -> g.Clause:
        """A clause about a subject from "German words infinitive | English verb phrase"."""
        de, en = text.split(" | ")
        words, _, verb = de.rpartition(" ")
        parts = (g.Part(words, "", g.INNER, 20, "fixed"),) if words else ()
        tense = ("pret", "past") if past else ("pres", "pres")
        return g.Clause(subject, verb, en, parts, *tense)

    def reason(self, clause: g.Clause, frame: Frame, past: bool) -> g.Clause | None:
        """Why a subject does what the frame says: its own state, or a quality of the object."""
        if not frame.reasons:
            return None
        reason = self.rng.choice(frame.reasons)
        if not reason.startswith("@"):
            thing = clause.part("acc", "prep")
            if thing is None or thing.phrase is None or thing.phrase.negative or clause.neg:
                return None
            de, en = reason.split("=")
            if thing.phrase.pronoun or thing.phrase.neuter_person or de[:4] in thing.de:
                return None
            return copula(p.pronoun_for(thing.phrase), de, en, past=past)
        key = reason[1:]
        if clause.neg:
            key = self.rng.choice(("notime", "ill", "tired", "busy"))
        subject = p.pronoun_for(clause.subject)
        warming = frozenset({"lockable", "clean", "heat"})
        thing = clause.part("acc")
        noun = thing.phrase.noun if thing and thing.phrase else None
        if key == "cold" and noun is not None and not noun.tags & warming:
            return None
        if STATES[key][:4].lower() in clause.subject.cases[0]:
            return None
        if key == "cold":
            # "ihm ist kalt": German has the dative and no subject at all.
            nobody = replace(subject, cases=(subject.de("dat"), "", "", ""), person=3, plural=False)
            return self.state(nobody, STATES[key], past=past)
        return self.state(subject, STATES[key], past=past)

    def because(self) -> Pair:
        """ "Anna geht ins Bett, weil sie müde ist.", with weil in front, or with denn."""
        while True:
            frame = self.frame()
            kind = self.kind_for(frame, kinds="PPTTTHMW")
            subject = self.subject(frame.subjects, clear=True)
            resting = "@tired" in frame.reasons or "@ill" in frame.reasons
            resting = resting or "s" in frame.flags
            clause = self.clause(frame, kind, subject, depth=0, neg=False if resting else None)
            if clause.modal in ("müssen", "sollen", "dürfen"):
                clause = replace(clause, modal="wollen")
            why = self.reason(clause, frame, clause.en_tense in ("past",))
            if why is not None:
                break
        roll = self.rng.random()
        if roll < 0.2:
            de = f"{g.german_main(clause)}, denn {g.german_main(why)}"
            return g.finish(de), g.finish(f"{g.english_main(clause)}, for {g.english_main(why)}")
        if roll < 0.35 and why.subject == p.pronoun_for(subject) and subject.noun:
            named, again = (
                replace(why, subject=subject),
                replace(clause, subject=p.pronoun_for(subject)),
            )
            first = g.german_subordinate(named, "weil")
            return g.finish(f"{g.german_main(again, f'{first},')}"), g.finish(
                f"because {g.english_main(named)}, {g.english_main(again)}"
            )
        de = (
            f"{g.german_main(clause, self.front(clause, 0.2))}, {g.german_subordinate(why, 'weil')}"
        )
        return g.finish(de), g.finish(self._english(clause, de) + f" because {g.english_main(why)}")

    def _english(self, clause: g.Clause, german_text: str) -> str:
        """English for a clause, an adverbial first if the German text begins with it."""
        fronts = [part for part in clause.parts if part.role in ("time", "place")]
        front = next((part for part in fronts if german_text.startswith(part.de)), None)
        return g.english_main(clause, front)

    def although(self) -> Pair:
        """ "Obwohl es regnet, geht er in den Park."."""
        frame = self.rng.choice([f for f in frames_with("a", "person") if f.de not in RESTING])
        kind = self.kind_for(frame, kinds="PPTTM")
        subject = self.subject(frame.subjects, clear=True)
        clause = self.clause(frame, kind, subject, plain=kind == "M", depth=0, neg=False)
        past = clause.en_tense == "past"
        if self.chance(0.4):
            weather = self.rng.choice(
                ("kalt cold", "spät late", "dunkel dark", "früh early")
            ).split()
            es = replace(p.IT, noun=None)
            state = self.state(es, f"{weather[0]} sein | be {weather[1]}", past=past)
        else:
            key = self.rng.choice(("tired", "notime", "ill", "busy"))
            state = self.state(p.pronoun_for(subject), STATES[key], past=past)
        sub, english_sub = g.german_subordinate(state, "obwohl"), g.english_main(state)
        if self.chance(0.35) and state.subject.cases[0] == "es" and not state.subject.noun:
            main = g.german_main(clause, f"{sub},")
            return g.finish(main), g.finish(f"although {english_sub}, {g.english_main(clause)}")
        return g.finish(f"{g.german_main(clause)}, {sub}"), g.finish(
            f"{g.english_main(clause)} although {english_sub}"
        )

    def when(self) -> Pair:
        """ "Wenn Anna Zeit hat, liest sie oft ein Buch.", or the weather instead."""
        weather = self.rng.choice(WEATHER) if self.chance(0.45) else ""
        suited = ROUTINE
        if weather:
            suited = SUNNY if any(word in weather for word in ("schön", "Sonne", "warm")) else RAINY
        frame = self.rng.choice([f for f in frames_with("h", "person") if f.de in suited])
        subject = self.subject("person", clear=True)
        habit = self.clause(
            frame, "H" if self.chance(0.7) else "F", subject, plain=True, depth=0, neg=False
        )
        if habit.en_tense == "pres" and self.chance(0.5):
            habit = habit.plus(self.frequency())
        word = "if" if habit.en_tense == "fut" else "when"
        if weather:
            de_weather, en_weather = weather.split("|")
            sub, english_sub = f"wenn {de_weather}", f"{word} {en_weather}"
            later = habit
        else:
            fitting = [text for text in ARRIVALS if frame.de in NEEDS.get(text, ROUTINE)]
            state = self.state(subject, self.rng.choice(fitting), past=False)
            later = replace(habit, subject=p.pronoun_for(subject))
            sub = g.german_subordinate(state, "wenn")
            english_sub = f"{word} {g.english_main(state)}"
        if later is habit and self.chance(0.5):
            return g.finish(f"{g.german_main(habit)}, {sub}"), g.finish(
                f"{g.english_main(habit)} {english_sub}"
            )
        return g.finish(g.german_main(later, f"{sub},")), g.finish(
            f"{english_sub}, {g.english_main(later)}"
        )

    def two_at_once(self) -> Pair:
        """ "Während die Mutter liest, kocht der Vater Suppe.", or joined by und / aber."""
        first_frame, second_frame = (self.rng.choice(frames_with("a", "person")) for _ in range(2))
        kind = self.rng.choice(("P", "T"))
        first = self.clause(
            first_frame, kind, self.person(clear=True), plain=True, depth=0, neg=False
        )
        second = self.clause(
            second_frame, kind, self.person(clear=True), plain=True, depth=0, neg=False
        )
        same = first.subject.en == second.subject.en
        repeated = second.subject.bare("nom").split()[-1] in g.german_main(first)
        if same or repeated or first_frame.de == second_frame.de:
            return self.two_at_once()
        if self.chance(0.45):
            tense = "prog" if kind == "P" else "pastprog"
            first = replace(first, en_tense=tense)
            if kind == "T":
                first = replace(first, tense="pret")
            sub = g.german_subordinate(first, "während")
            english_sub = f"while {g.english_main(first)}"
            if kind == "T":
                second = replace(second, tense="pret", en_tense="pastprog")
            return g.finish(g.german_main(second, f"{sub},")), g.finish(
                f"{english_sub}, {g.english_main(second)}"
            )
        joint = self.rng.choice((("und", "and"), ("aber", "but")))
        return g.finish(f"{g.german_main(first)}, {joint[0]} {g.german_main(second)}"), g.finish(
            f"{g.english_main(first)}, {joint[1]} {g.english_main(second)}"
        )

    def sequence(self) -> Pair:
        """ "Bevor er isst, kauft er ein.", "Nachdem sie gegessen hatte, ging sie ..."."""
        subject = self.subject("person", clear=True)
        pronoun = p.pronoun_for(subject)
        routine = [frame for frame in frames_with("ah", "person") if frame.de in ROUTINE]
        first, second = self.rng.choice(routine), self.rng.choice(routine)
        if first.de == second.de:
            return self.sequence()
        roll = self.rng.random()
        if roll < 0.3:
            one = self.clause(first, "H", subject, plain=True, depth=0, neg=False)
            two = self.clause(second, "H", pronoun, plain=True, depth=0, neg=False).plus(
                self.frequency()
            )
            two = replace(two, parts=tuple(x for x in two.parts if x.en not in ("never", "rarely")))
            return self._ordered(one, two, "bevor", "before")
        if roll < 0.65:
            one = self.clause(first, "T", subject, plain=True, depth=0, neg=False)
            two = self.clause(second, "T", pronoun, plain=True, depth=0, neg=False)
            one = replace(one, tense="plup", en_tense="plup")
            return self._ordered(one, replace(two, tense="pret"), "nachdem", "after")
        moment = self.rng.choice(PAST_MOMENTS)
        suited = ON_ARRIVAL if "Bahnhof" in moment else ROUTINE - OUTDOORS
        second = self.rng.choice([frame for frame in routine if frame.de in suited])
        one = self.state(subject, moment, past=True)
        two = self.clause(second, "T", pronoun, plain=True, depth=0, neg=False)
        return self._ordered(one, replace(two, tense="perf"), "als", "when")

    def _ordered(self, one: g.Clause, two: g.Clause, de: str, en: str) -> Pair:
        sub = g.german_subordinate(one, de)
        return g.finish(g.german_main(two, f"{sub},")), g.finish(
            f"{en} {g.english_main(one)}, {g.english_main(two)}"
        )
