"""Random clauses: a frame filled with phrases, a tense, adverbials, relative clauses."""

from dataclasses import replace

from microworld import adverbials
from microworld import grammar as g
from microworld import phrases as p
from microworld.complements import Complements
from microworld.frames import Frame, frames, frames_with
from microworld.tables import listed

EVENING = ("bend", "achmittag", "Essen")
ODD_TIMES = {
    "have breakfast": EVENING, "get up": EVENING, "wake up": EVENING,
    "go to bed": ("orgen", "früh"), "fall asleep": ("orgen", "früh"), "sleep": ("orgen", "früh"),
}  # fmt: skip
VEHICLES = listed(
    "mit dem Bus=by bus,mit dem Zug=by train,mit dem Auto=by car,mit dem Fahrrad=by bicycle,"
    "mit der Straßenbahn=by tram,zu Fuß=on foot"
)
# kind of clause: German tense, English tense. P(resent in progress), T (past), F(uture),
# H(abit), S(tate), Z (past state), M(odal), W (past modal), G (likes to), N (infinitive only)
TENSES = {
    "P": ("pres", "prog"), "T": ("perf", "past"), "F": ("fut", "fut"), "H": ("pres", "pres"),
    "S": ("pres", "pres"), "Z": ("pret", "past"), "M": ("pres", "pres"), "W": ("pret", "past"),
    "G": ("pres", "pres"), "N": ("pres", "pres"),
}  # fmt: skip


class Events(Complements):
    """Draws whole clauses."""

    def kind_for(self, frame: Frame, *, kinds: str = "PPPTTTTTFFHHMMMWG") -> str:
        """A kind of clause that suits the frame, out of `kinds` (with repetitions as weights)."""
        if "s" in frame.flags:
            return self.rng.choice("SSSZ")
        fitting = kinds
        if "p" in frame.flags:
            # One can plan to buy a house, but not to lose a key.
            planned = "i" in frame.flags or "L" in frame.flags
            fitting = "".join(k for k in fitting if k not in ("PHG" if planned else "PHGMW"))
        if "t" in frame.flags:
            return "T"
        if "m" in frame.flags:
            fitting = "".join(kind for kind in fitting if kind not in "MW")
        if "h" not in frame.flags:
            fitting = fitting.replace("H", "")
        if "g" not in frame.flags:
            fitting = fitting.replace("G", "")
        if "person" not in frame.subjects and "adult" not in frame.subjects:
            fitting = "".join(kind for kind in fitting if kind not in "MWG")
        return self.rng.choice(fitting or "T")

    def frame(self, flags: str = "") -> Frame:
        """A random frame with these flags."""
        return self.rng.choice(frames_with(flags))

    def clause(
        self,
        frame: Frame,
        kind: str,
        subject: p.NounPhrase | None = None,
        *,
        skip: int = -1,
        plain: bool = False,
        neg: bool | None = None,
        depth: int = 1,
    ) -> g.Clause:
        """Fill a frame; `skip` leaves out one complement, `plain` all adverbials.

        `depth` bounds the nesting of relative clauses (0: none).
        """
        who = subject or self.subject(frame.subjects)
        if subject is None and depth and self.chance(0.16):
            who = self.relative(who, depth - 1, verb=frame.en)
        if neg is None:
            neg = kind in "PTSMW" and self.chance(0.14)
        neg = neg and "x" not in frame.flags
        parts: list[g.Part] = []
        for index, spec in enumerate(frame.complements):
            if index != skip:
                parts.append(self.complement(spec, who, neg, depth, frame.en))
        de_tense, en_tense = TENSES[kind]
        made = g.Clause(who, frame.de, frame.en, tuple(parts), de_tense, en_tense, neg=neg)
        made = self._mood(made, kind, frame)
        return made if plain else self._adverbials(made, kind, frame)

    def _mood(self, made: g.Clause, kind: str, frame: Frame) -> g.Clause:
        if kind == "T" and made.subject.person == 3 and self.chance(0.25):
            return replace(made, tense="pret")
        if kind == "M":
            modals = ["können", "müssen", "wollen", "möchten", "sollen"]
            human = made.subject.noun is not None and "young" in made.subject.noun.tags
            modals += ["dürfen", "dürfen"] if human else []
            if made.subject.cases[0] in ("du", "ihr", "Sie"):
                modals = ["können", "müssen", "sollen"]
            return replace(made, modal=self.rng.choice(modals))
        if kind == "W":
            return replace(made, modal=self.rng.choice(("können", "müssen", "wollen")))
        if kind == "G":
            gern = g.Part("gern", "", g.COMPANY - 1, 0, "gern")
            return replace(made, likes=True).plus(gern)
        return made

    def _adverbials(self, made: g.Clause, kind: str, frame: Frame) -> g.Clause:
        if any(part.phrase is not None and part.phrase.en_relative for part in made.parts):
            # After a relative clause, an English adverbial would seem to belong to that.
            return made.plus(self.frequency()) if kind == "H" else made
        human = made.subject.human or made.subject.pronoun
        if kind == "H":
            made = made.plus(self.time("H") if human and self.chance(0.5) else self.frequency())
        elif kind == "F" and self.chance(0.4):
            # German says the future with the present once a time word makes it clear.
            made = replace(made.plus(self.time("F")), tense="pres")
        elif kind in "PTF" and self.chance({"P": 0.4, "T": 0.55, "F": 0.5}[kind]):
            made = made.plus(self.time(self.any_future(kind), long="L" in frame.flags))
        elif kind in "MW" and self.chance(0.25):
            made = made.plus(self.time(self.any_future("F" if kind == "M" else "T")))
        odd = made.part("time")
        if odd and any(word in odd.de for word in ODD_TIMES.get(frame.en, ())):
            made = made.without(odd)
            made = replace(made, tense="fut") if kind == "F" else made
        if made.neg:
            return made
        if frame.manners and not made.likes and self.chance(0.22):
            manner = self.manner(
                frame, made.subject, timed=made.part("time") is not None, tense=made.en_tense
            )
            made = made.plus(manner) if manner else made
        elif "c" in frame.flags and self.chance(0.2):
            made = made.plus(self.company(made.subject))
        if frame.places and self.chance(0.4) and not made.part("dir", "place"):
            german, english = self.place(self.rng.choice(frame.places))
            made = made.plus(g.Part(german, english, g.PLACE, 50, "place", front=True))
        return made

    def any_future(self, kind: str) -> str:
        """ "f" (times that are future only beside "werden" or a modal) for some of the "F"."""
        return "f" if kind == "F" and self.chance(0.15) else kind

    def manner(
        self, frame: Frame, subject: p.NounPhrase, *, timed: bool, tense: str
    ) -> g.Part | None:
        """A manner adverb of the frame, or None where the drawn one does not fit the subject."""
        word = self.rng.choice(frame.manners)
        if (word == "sofort" and timed) or (word == "gut" and tense == "prog"):
            return None
        if word == "M":
            far = frame.complements[0].startswith("C")
            german, english = self.rng.choice(VEHICLES[: 3 if far else 6]).split("=")
            return g.Part(german, english, g.MANNER, 40, "manner")
        if (word == "gemeinsam") != subject.plural and word in ("gemeinsam", "allein"):
            return None
        position = 40 if word in ("allein", "gemeinsam") else 28
        return g.Part(word, adverbials.MANNERS[word], g.MANNER, position, "manner")

    def company(self, subject: p.NounPhrase) -> g.Part:
        """ "mit seinem Bruder": with somebody other than the subject."""
        phrase = self.other("kin,kin,person", subject)
        return g.Part(
            phrase.after("mit", "dat"), f"with {phrase.object_en}", g.COMPANY, 45, "company"
        )

    def relative(
        self, phrase: p.NounPhrase, depth: int, verb: str = "", avoid: p.NounPhrase | None = None
    ) -> p.NounPhrase:
        """The phrase with a relative clause in which its noun makes sense, where there is one.

        The clause has another English verb than `verb`, and another subject than `avoid`.
        """
        noun = phrase.noun
        if noun is None or noun.tags & {"kin", "mass", "only"} or not phrase.open:
            return phrase
        slots = [(f, i) for f in frames() if f.en != verb for i in fitting_slots(f, noun.tags)]
        if not slots:
            return phrase
        frame, index = self.rng.choice(slots)
        kind = self.kind_for(frame, kinds="PTTTTTTH")
        if index < 0:
            made = self.clause(frame, kind, phrase, plain=self.chance(0.6), depth=depth, neg=False)
            german = g.german_subordinate(made, p.relative_pronoun(phrase, "nom"), subject=False)
            english = g.english_main(made, subject="who" if phrase.human else "that")
            return replace(phrase, de_relative=german, en_relative=english)
        subject = self.subject(frame.subjects)
        if subject.noun == noun or (
            avoid is not None and avoid.name and subject.name == avoid.name
        ):
            return phrase
        made = self.clause(frame, kind, subject, skip=index, plain=True, depth=0, neg=False)
        head = frame.complements[index].partition(":")[0].split()
        case = next(word.strip("*") for word in head if word.strip("*") in ("acc", "dat"))
        pronoun = p.relative_pronoun(phrase, case)
        if head[0] == "P":
            pronoun = f"{head[1]} {pronoun}"
        english = g.english_main(made)
        link = "who" if phrase.human else "that"
        if head[3:]:
            link = f"{' '.join(head[3:])} which"
        return replace(
            phrase,
            de_relative=g.german_subordinate(made, pronoun),
            en_relative=f"{link} {english}",
        )


def fitting_slots(frame: Frame, tags: frozenset[str]) -> list[int]:
    """Which roles a noun with these tags can play: -1 the subject, else a complement's index."""
    slots = [-1] if tags & set(frame.subjects.split(",")) else []
    for index, spec in enumerate(frame.complements):
        head, _, classes = spec.partition(":")
        if head.split()[0] in ("acc", "dat", "P") and any(
            set(part.split("&")) <= tags for part in classes.split(",")
        ):
            slots.append(index)
    return slots
