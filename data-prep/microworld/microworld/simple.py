"""Sentence templates with one main clause: statements, questions and commands."""

from dataclasses import replace

from microworld import grammar as g
from microworld import phrases as p
from microworld.complements import part_for
from microworld.events import Events, fitting_slots
from microworld.frames import Frame, frames, frames_with
from microworld.nouns import noun_called, tagged
from microworld.tables import listed

Pair = tuple[str, str]


AMBIGUOUS = listed(
    "Decke=blanket,Decke=ceiling,Leiter=ladder,Schloss=castle,Schloss=lock,Birne=pear,"
    "Birne=light bulb,Hahn=tap,Hahn=rooster,Gericht=dish,Bank=bench,Strauß=bouquet,"
    "Strauß=ostrich,Blatt=sheet of paper,Tor=gate,Uhr=watch,Uhr=clock,Flügel=grand piano"
)


class Simple(Events):
    """Draws one-clause sentences; each template returns a German and an English sentence."""

    def pair(self, clause: g.Clause, front: g.Part | None = None) -> Pair:
        """A clause as a statement; adverbials begin both sentences, objects the German one."""
        moved = front if front is not None and front.role in ("time", "place") else None
        english_text = g.english_main(clause, moved)
        return g.finish(g.german_main(clause, front)), g.finish(english_text)

    def front(self, clause: g.Clause, share: float = 0.4) -> g.Part | None:
        """A part for German to begin with, or None."""
        fitting = [part for part in clause.parts if part.front]
        # Without a pronoun subject, "Die Katze sieht die Frau" could be read either way.
        if not clause.subject.pronoun or clause.neg:
            fitting = [part for part in fitting if part.role in ("time", "place")]
        return self.rng.choice(fitting) if fitting and self.chance(share) else None

    def event(self, *, kinds: str = "PPPTTTTTFFHHMMMWG") -> g.Clause:
        """A random clause."""
        frame = self.frame()
        return self.clause(frame, self.kind_for(frame, kinds=kinds))

    def statement(self) -> Pair:
        """ "Heute liest die Frau ein Buch."."""
        clause = self.event()
        return self.pair(clause, self.front(clause))

    def liking(self) -> Pair:
        """ "Anna liest gern Romane.": the English verb is "like to"."""
        clause = self.clause(self.rng.choice(frames_with("g", "person")), "G", neg=False)
        return self.pair(clause)

    def two_meanings(self) -> Pair:
        """A statement with a noun whose English depends on what happens to it."""
        german_noun, english_noun = self.rng.choice(AMBIGUOUS).split("=")
        noun = noun_called(german_noun, english_noun)
        slots = [(f, i) for f in frames() for i in fitting_slots(f, noun.tags) if i >= 0]
        frame, index = self.rng.choice(slots)
        clause = self.clause(frame, self.kind_for(frame), skip=index, neg=False)
        part = part_for(frame.complements[index], self.common(noun, owner=None))
        parts = (*clause.parts[:index], part, *clause.parts[index:])
        clause = replace(clause, parts=parts)
        return self.pair(clause, self.front(clause))

    def yes_no(self) -> Pair:
        """ "Liest du das Buch?"."""
        frame = self.frame()
        subject = self._asked(frame)
        kind = self.kind_for(frame, kinds="PPTTTFHMG")
        clause = self.clause(frame, kind, subject, neg=False, depth=0)
        return self.ask(clause)

    def _asked(self, frame: Frame | None = None) -> p.NounPhrase | None:
        """A form of "you", or None (often, and where people cannot do what the frame says)."""
        if frame is not None and "person" not in frame.subjects.split(","):
            return None
        roll = self.rng.random()
        if roll < 0.45:
            return p.PRONOUNS["dus"] if roll < 0.3 else p.PRONOUNS["ihrp"]
        return p.FORMAL if roll < 0.7 else None

    def ask(self, clause: g.Clause, de: str = "", en: str = "") -> Pair:
        """A question, with question words or without."""
        return (
            g.finish(g.german_question(clause, de), "?"),
            g.finish(g.english_question(clause, en), "?"),
        )

    def who(self) -> Pair:
        """ "Wer liest das Buch?"."""
        frame = self.rng.choice(frames_with("a", "person"))
        someone = replace(p.PRONOUNS["ers"], cases=("wer", "wen", "wem", ""), en="who")
        clause = self.clause(frame, self.kind_for(frame, kinds="PTTF"), someone, neg=False)
        text = g.german_question(clause, "wer", subject=False)
        return g.finish(text, "?"), g.finish(g.english_main(clause), "?")

    def what(self) -> Pair:
        """ "Was kauft Anna?", "Wem hilft er?", "Wen ruft ihr an?", "Welches Buch liest du?"."""
        while True:
            frame = self.frame()
            spec = frame.complements[0] if len(frame.complements) == 1 else ""
            head, _, classes = spec.partition(":")
            if head not in ("acc", "dat"):
                continue
            kind = self.kind_for(frame, kinds="PPTTTF")
            clause = self.clause(frame, kind, self._asked(frame), skip=0, neg=False)
            noun = self.rng.choice(tagged(classes))
            if head == "acc" and not noun.tags & {"mass", "kin", "only"} and self.chance(0.4):
                which = p.noun_phrase(noun, "welch", plural=self.chance(0.2))
                return self.ask(clause, which.de("acc"), which.en)
            if "person" in noun.tags:
                return self.ask(clause, "wen" if head == "acc" else "wem", "who")
            return self.ask(clause, "was", "what")

    def when_where(self) -> Pair:
        """ "Wo ...?", "Wann ...?", "Warum ...?", "Wohin gehst du?", "Wie oft ...?"."""
        if self.chance(0.25):
            frame = next(f for f in frames() if f.complements == ("D:go",) and f.de == "gehen")
            kind = self.rng.choice("PTFM")
            clause = self.clause(frame, kind, self._asked(frame), skip=0, plain=True, neg=False)
            return self.ask(clause, "wohin", "where")
        frame = self.frame()
        word, kinds = self.rng.choice(
            (
                ("wo where", "PTF"),
                ("wann when", "TTF"),
                ("warum why", "PPTT"),
                ("wie oft how often", "H"),
            )
        )
        if "s" in frame.flags or not set(kinds) & set(self.kind_for(frame, kinds=kinds)):
            return self.when_where()
        if (word[:2] == "wo" and not frame.places) or (kinds == "H" and "h" not in frame.flags):
            return self.when_where()
        kind = self.kind_for(frame, kinds=kinds)
        clause = self.clause(frame, kind, self._asked(frame), plain=True, neg=False, depth=0)
        german_word = "wie oft" if word.startswith("wie") else word.split()[0]
        return self.ask(clause, german_word, word.removeprefix(german_word).strip())

    def command(self) -> Pair:
        """ "Mach bitte die Tür zu!"."""
        frame = self.frame("i")
        addressee = self.rng.choice(("du", "ihr", "Sie"))
        you = {"du": p.PRONOUNS["dus"], "ihr": p.PRONOUNS["ihrp"], "Sie": p.FORMAL}[addressee]
        clause = self.clause(frame, "N", you, plain=True, depth=0, neg=self.chance(0.15))
        please = self.chance(0.5)
        text = g.english_infinitive(clause, form="")
        text = f"do not {text}" if clause.neg else text
        mark = "!" if self.chance(0.7) else "."
        de = g.finish(g.german_command(clause, addressee, please), mark)
        return de, g.finish(f"please {text}" if please else text, mark)
