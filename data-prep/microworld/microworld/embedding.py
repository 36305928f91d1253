"""Sentence templates that put clauses into clauses: dass, ob, indirect questions, zu."""

from collections.abc import Callable
from dataclasses import replace

from microworld import grammar as g
from microworld import phrases as p
from microworld.complex import Complex
from microworld.frames import Frame, frames, frames_with
from microworld.simple import Pair
from microworld.tables import listed, word_set

KNOWING = listed("wissen know,glauben believe,sagen say,denken think,meinen think,hoffen hope")
REPORTING = listed("sagen say,hören hear,erzählen say,schreiben write,merken notice")
QUESTION_WORDS = listed("ob whether,warum why,wann when,wo where")
# German verb, English verb, kinds of clause (see events.TENSES)
TRYING = (
    "versuchen try PTTM", "hoffen hope S", "an|fangen begin T", "vergessen forget T",
    "beschließen decide T", "planen plan PT", "versprechen promise T",
)  # fmt: skip
JUDGING = listed(
    "ist schwer is difficult,ist nicht schwer is not difficult,ist schön is nice,"
    "ist leicht is easy,ist nicht leicht is not easy,macht Spaß is fun,war schön was nice"
)
OUTINGS = ("shop", "dine", "meet", "eat", "play", "learn", "lake", "walk")
NEGLECTED = word_set("ab|schließen zu|machen aus|machen frühstücken aus|schalten schließen")
WISHES = (
    "Zeit hätten|have time", "mehr Zeit hätten|have more time", "Geld hätten|have money",
    "reich wären|be rich", "nicht so müde wären|be not so tired", "frei hätten|have the day off",
)  # fmt: skip


class Embedding(Complex):
    """Draws sentences whose clauses are objects or purposes of others."""

    def embedded(self, depth: int, outer: str, *, past: bool = False) -> Pair:
        """ "dass Anna weiß, dass ...": text in both languages, without capitals."""
        if depth and self.chance(0.2):
            verb, en = self.rng.choice([word for word in KNOWING if outer not in word]).split()
            matrix = g.Clause(self.person(), verb, en)
            de_inner, en_inner = self.embedded(depth - 1, verb)
            return (
                f"{g.german_subordinate(matrix, 'dass')}, {de_inner}",
                f"that {g.english_main(matrix)} {en_inner}",
            )
        # One hopes for what is still open.
        kinds = "F" if outer == "hoffen" else "PTTFHM"
        clause = self.event(kinds="T" if past else kinds)
        while outer == "hoffen" and clause.en_tense == "past":
            clause = self.event(kinds=kinds)
        while past and clause.en_tense != "past":
            clause = self.event(kinds="T")
        return g.german_subordinate(clause, "dass"), f"that {g.english_main(clause)}"

    def that_clause(self) -> Pair:
        """ "Anna weiß, dass Peter krank ist."."""
        past = self.chance(0.3)
        subject = self.subject("person")
        if subject.person == 2:
            subject = self.person()
        if past:
            verb, en = self.rng.choice(REPORTING).split()
            matrix = g.Clause(subject, verb, en, (), "perf", "past")
        else:
            verb, en = self.rng.choice(KNOWING).split()
            matrix = g.Clause(
                subject, verb, en, neg=verb in ("glauben", "wissen") and self.chance(0.2)
            )
        de, english = self.embedded(2, verb, past=past)
        return g.finish(f"{g.german_main(matrix)}, {de}"), g.finish(
            f"{g.english_main(matrix)} {english}"
        )

    def indirect(self) -> Pair:
        """ "Weißt du, wo Anna wohnt?", "Er fragt, ob ...", "Ich weiß nicht, warum ..."."""
        clause, word, en_word = self._asked_about()
        de = g.german_subordinate(clause, word)
        english = f"{en_word} {g.english_main(clause)}"
        roll = self.rng.random()
        if roll < 0.35:
            who = self._asked() or self.subject("person")
            de_main, en_main = self.ask(g.Clause(who, "wissen", "know"))
            return f"{de_main[:-1]}, {de}?", f"{en_main[:-1]} {english}?"
        who = self.subject("person")
        if roll < 0.75:
            matrix = g.Clause(who, "wissen", "know", neg=True)
        else:
            matrix = g.Clause(who, "fragen", "ask")
        return g.finish(f"{g.german_main(matrix)}, {de}"), g.finish(
            f"{g.english_main(matrix)} {english}"
        )

    def _asked_about(self) -> tuple[g.Clause, str, str]:
        while True:
            frame = self.frame()
            word, en_word = self.rng.choice(QUESTION_WORDS).split()
            kind = self.kind_for(frame, kinds="PTTF" if word in ("ob", "warum") else "TTF")
            if kind in "SZ" and word in ("wo", "wann"):
                continue
            if word == "wo" and (not frame.places or kind == "F"):
                continue
            plain = word in ("wo", "wann")
            clause = self.clause(frame, kind, plain=plain, depth=0, neg=False)
            if frame.complements[:1] in (("C",), ("L:live",)) and self.chance(0.7):
                clause = replace(clause, parts=())
                word, en_word = "wo", "where"
            # "Wissen Sie, ob du ..." would mix two forms of address.
            if clause.subject.person != 2:
                return clause, word, en_word

    def trying(self) -> Pair:
        """ "Er hat vergessen, die Tür abzuschließen."."""
        verb, en, kinds = self.rng.choice(TRYING).split()
        suited = frames_with("ag", "person") + frames_with("ai", "person")
        frame = self.rng.choice([other for other in suited if other.en.split()[0] != en])
        subject = self.subject("person")
        outer = self.clause(
            Frame(verb, en, "person", (), "a", (), (), ()), self.rng.choice(kinds), subject,
            neg=False, plain=self.chance(0.7),
        )  # fmt: skip
        inner = self.clause(frame, "N", subject, plain=True, depth=0, neg=False)
        de = f"{g.german_main(outer, self.front(outer))}, {g.german_infinitive(inner)}"
        time = outer.part("time")
        english = g.english_main(outer.without(time) if time else outer)
        before = f"{time.en} " if time else ""
        return g.finish(de), g.finish(f"{before}{english} {g.english_infinitive(inner)}")

    def judging(self) -> Pair:
        """ "Es ist schwer, Klavier zu spielen."."""
        frame = self.rng.choice(frames_with("g", "person"))
        de, en = self._judgement()
        inner = self.clause(
            frame, "N", p.PRONOUNS["ichs"], plain=self.chance(0.6), depth=0, neg=False
        )
        return g.finish(f"es {de}, {g.german_infinitive(inner)}"), g.finish(
            f"it {en} {g.english_infinitive(inner)}"
        )

    def _judgement(self) -> tuple[str, str]:
        words = self.rng.choice(JUDGING).split()
        half = len(words) // 2
        return " ".join(words[:half]), " ".join(words[half:])

    def purpose(self) -> Pair:
        """ "Anna geht in die Stadt, um ein Kleid zu kaufen."."""
        group = self.rng.choice(OUTINGS)
        suited = [f for f in frames_with("a", "person") if group in f.places]
        subject = self.subject("person")
        going = self.clause(
            Frame("gehen", "go", "person", (f"D:{group}",), "a", (), (), ()),
            self.rng.choice("PTTFM"), subject, neg=False,
        )  # fmt: skip
        inner = self.clause(self.rng.choice(suited), "N", subject, plain=True, depth=0, neg=False)
        time = going.part("time")
        english = g.english_main(going, time) if time else g.english_main(going)
        de = f"{g.german_main(going, time)}, {g.german_infinitive(inner, 'um')}"
        return g.finish(de), g.finish(f"{english} {g.english_infinitive(inner)}")

    def without(self) -> Pair:
        """ "Sie hat das Haus verlassen, ohne die Tür abzuschließen."."""
        subject = self.subject("person")
        neglected = self.rng.choice([f for f in frames() if f.de in NEGLECTED])
        house = g.Part("das Haus", "the house", g.OBJECT, 20, "acc")
        tense = self.rng.choice((("perf", "past"), ("pres", "prog")))
        leaving = g.Clause(subject, "verlassen", "leave", (house,), *tense)
        if self.chance(0.4):
            bed = g.Part("ins Bett", "to bed", g.INNER, 20, "fixed")
            leaving = g.Clause(subject, "gehen", "go", (bed,), *tense)
        inner = self.clause(neglected, "N", subject, plain=True, depth=0, neg=False)
        de = f"{g.german_main(leaving)}, {g.german_infinitive(inner, 'ohne')}"
        english = f"{g.english_main(leaving)} without {g.english_infinitive(inner, form='ing')}"
        return g.finish(de), g.finish(english)

    def wish(self) -> Pair:
        """ "Wenn ich Zeit hätte, würde ich ins Kino gehen."."""
        subject = self.subject("person", clear=self.chance(0.6))
        if subject.neuter_person:
            return self.wish()
        state = self.state(subject, self.rng.choice(WISHES).replace("|", " | "), past=False)
        # "If he were rich": the plural form stands for the English subjunctive.
        state = replace(state, subject=replace(subject, en_plural=True), en_tense="past")
        frame = self.rng.choice(frames_with("ag", "person"))
        pronoun = p.pronoun_for(subject)
        main = self.clause(frame, "N", pronoun, plain=self.chance(0.6), depth=0, neg=False)
        main = replace(main, modal="würden")
        sub = g.german_subordinate(state, "wenn")
        return g.finish(g.german_main(main, f"{sub},")), g.finish(
            f"if {g.english_main(state)}, {g.english_main(main)}"
        )

    def templates(self) -> list[tuple[int, Callable[[], Pair]]]:
        """Every template with its weight."""
        return [
            (40, self.statement), (14, self.yes_no), (5, self.liking), (8, self.two_meanings),
            (5, self.who), (6, self.what),
            (8, self.when_where), (6, self.command), (9, self.description), (6, self.comparison),
            (2, self.superlative), (9, self.existence), (6, self.belonging), (3, self.part_of),
            (5, self.pleasing), (1, self.scene), (5, self.number), (5, self.duration),
            (6, self.passive), (22, self.because), (10, self.although), (14, self.when),
            (14, self.two_at_once), (14, self.sequence), (22, self.that_clause),
            (12, self.indirect), (10, self.trying), (3, self.judging), (10, self.purpose),
            (2, self.without), (8, self.wish),
        ]  # fmt: skip
