"""The microworld's grammar: inflection tables and word order."""

from dataclasses import replace
from random import Random

import pytest
from microworld import english, german
from microworld import grammar as g
from microworld import phrases as p
from microworld.embedding import Embedding
from microworld.lexicon import Adjective
from microworld.nouns import noun_called

ALT = Adjective("alt", "old", 3, "", "älter", "ältest")
KLEIN = Adjective("klein", "small", 2, "", "kleiner", "kleinst")
ROT = Adjective("rot", "red", 5, "", "", "")


# --- inflection -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noun", "det", "adjective", "plural", "expected"),
    [
        ("Mann", "der", ALT, False, "der alte Mann|den alten Mann|dem alten Mann|des alten Mannes"),
        ("Frau", "der", ALT, False, "die alte Frau|die alte Frau|der alten Frau|der alten Frau"),
        ("Haus", "der", ALT, False, "das alte Haus|das alte Haus|dem alten Haus|des alten Hauses"),
        (
            "Mann", "der", ALT, True,
            "die alten Männer|die alten Männer|den alten Männern|der alten Männer",
        ),
        (
            "Hund", "ein", KLEIN, False,
            "ein kleiner Hund|einen kleinen Hund|einem kleinen Hund|eines kleinen Hundes",
        ),
        (
            "Katze", "ein", KLEIN, False,
            "eine kleine Katze|eine kleine Katze|einer kleinen Katze|einer kleinen Katze",
        ),
        (
            "Kind", "ein", KLEIN, False,
            "ein kleines Kind|ein kleines Kind|einem kleinen Kind|eines kleinen Kindes",
        ),
        (
            "Frau", "kein", ALT, True,
            "keine alten Frauen|keine alten Frauen|keinen alten Frauen|keiner alten Frauen",
        ),
        ("Frau", "", ALT, True, "alte Frauen|alte Frauen|alten Frauen|alter Frauen"),
        ("Wein", "", ROT, False, "roter Wein|roten Wein|rotem Wein|roten Weins"),
        ("Milch", "", ALT, False, "alte Milch|alte Milch|alter Milch|alter Milch"),
        ("Wasser", "", ALT, False, "altes Wasser|altes Wasser|altem Wasser|alten Wassers"),
        ("Junge", "der", None, False, "der Junge|den Jungen|dem Jungen|des Jungen"),
        ("Student", "ein", None, False,
         "ein Student|einen Studenten|einem Studenten|eines Studenten"),
        ("Auto", "der", None, True, "die Autos|die Autos|den Autos|der Autos"),
        ("Lehrerin", "dies", None, True,
         "diese Lehrerinnen|diese Lehrerinnen|diesen Lehrerinnen|dieser Lehrerinnen"),
        ("Buch", "euer", ROT, False,
         "euer rotes Buch|euer rotes Buch|eurem roten Buch|eures roten Buches"),
        ("Tisch", "welch", None, False,
         "welcher Tisch|welchen Tisch|welchem Tisch|welches Tisches"),
        ("Hund", "einige", ALT, True,
         "einige alte Hunde|einige alte Hunde|einigen alten Hunden|einiger alter Hunde"),
        ("Hund", "Annas", ALT, False,
         "Annas alter Hund|Annas alten Hund|Annas altem Hund|Annas alten Hundes"),
    ],
)  # fmt: skip
def test_noun_phrases_agree_in_all_cases(
    noun: str, det: str, adjective: Adjective | None, plural: bool, expected: str
) -> None:
    chosen = (adjective,) if adjective else ()
    phrase = p.noun_phrase(noun_called(noun), det, plural=plural, adjectives=chosen)
    assert "|".join(phrase.cases) == expected


@pytest.mark.parametrize(
    ("word", "stem"),
    [("hoch", "hoh"), ("dunkel", "dunkl"), ("teuer", "teur"), ("müde", "müd"), ("alt", "alt")],
)
def test_adjective_stems(word: str, stem: str) -> None:
    assert german.adjective_stem(word) == stem


@pytest.mark.parametrize(
    ("verb", "singular", "plural", "past", "participle", "zu"),
    [
        ("lesen", "lese liest liest", "lesen lest lesen", "las", "gelesen", "zu lesen"),
        ("essen", "esse isst isst", "essen esst essen", "aß", "gegessen", "zu essen"),
        ("fahren", "fahre fährst fährt", "fahren fahrt fahren", "fuhr", "gefahren", "zu fahren"),
        ("arbeiten", "arbeite arbeitest arbeitet", "arbeiten arbeitet arbeiten", "arbeitete",
         "gearbeitet", "zu arbeiten"),
        ("öffnen", "öffne öffnest öffnet", "öffnen öffnet öffnen", "öffnete", "geöffnet",
         "zu öffnen"),
        ("lernen", "lerne lernst lernt", "lernen lernt lernen", "lernte", "gelernt", "zu lernen"),
        ("wechseln", "wechsle wechselst wechselt", "wechseln wechselt wechseln", "wechselte",
         "gewechselt", "zu wechseln"),
        ("halten", "halte hältst hält", "halten haltet halten", "hielt", "gehalten", "zu halten"),
        ("besuchen", "besuche besuchst besucht", "besuchen besucht besuchen", "besuchte",
         "besucht", "zu besuchen"),
        ("bellen", "belle bellst bellt", "bellen bellt bellen", "bellte", "gebellt", "zu bellen"),
        ("reparieren", "repariere reparierst repariert", "reparieren repariert reparieren",
         "reparierte", "repariert", "zu reparieren"),
        ("auf|machen", "mache machst macht", "machen macht machen", "machte", "aufgemacht",
         "aufzumachen"),
        ("an|rufen", "rufe rufst ruft", "rufen ruft rufen", "rief", "angerufen", "anzurufen"),
        ("spazieren |gehen", "gehe gehst geht", "gehen geht gehen", "ging", "spazieren gegangen",
         "spazieren zu gehen"),
        ("sein", "bin bist ist", "sind seid sind", "war", "gewesen", "zu sein"),
        ("haben", "habe hast hat", "haben habt haben", "hatte", "gehabt", "zu haben"),
        ("wissen", "weiß weißt weiß", "wissen wisst wissen", "wusste", "gewusst", "zu wissen"),
        ("können", "kann kannst kann", "können könnt können", "konnte", "gekonnt", "zu können"),
        ("werden", "werde wirst wird", "werden werdet werden", "wurde", "geworden", "zu werden"),
    ],
)  # fmt: skip
def test_german_verbs(
    verb: str, singular: str, plural: str, past: str, participle: str, zu: str
) -> None:
    assert " ".join(german.present(verb, n, False) for n in (1, 2, 3)) == singular
    assert " ".join(german.present(verb, n, True) for n in (1, 2, 3)) == plural
    assert german.preterite(verb, 3, False) == past
    assert german.participle(verb) == participle
    assert german.zu_infinitive(verb) == zu


@pytest.mark.parametrize(
    ("verb", "du", "ihr"),
    [
        ("lesen", "lies", "lest"), ("geben", "gib", "gebt"), ("fahren", "fahr", "fahrt"),
        ("öffnen", "öffne", "öffnet"), ("warten", "warte", "wartet"), ("kaufen", "kauf", "kauft"),
    ],
)  # fmt: skip
def test_commands(verb: str, du: str, ihr: str) -> None:
    assert german.imperative(verb, "du") == du
    assert german.imperative(verb, "ihr") == ihr
    assert german.imperative(verb, "Sie") == verb


@pytest.mark.parametrize(
    ("preposition", "phrase", "expected"),
    [
        ("in", "dem Garten", "im Garten"), ("in", "das Haus", "ins Haus"),
        ("in", "den Garten", "in den Garten"), ("an", "dem See", "am See"),
        ("zu", "der Schule", "zur Schule"), ("zu", "dem Arzt", "zum Arzt"),
        ("bei", "dem Arzt", "beim Arzt"), ("von", "dem Baum", "vom Baum"),
        ("von", "der Frau", "von der Frau"), ("in", "dem", "in dem"),
    ],
)  # fmt: skip
def test_contractions(preposition: str, phrase: str, expected: str) -> None:
    assert german.contract(preposition, phrase) == expected


def test_english_words() -> None:
    phrases = ["apple", "old man", "university", "hour", "small egg", "egg"]
    assert [english.article(phrase).split()[0] for phrase in phrases] == [
        "an", "an", "a", "an", "a", "an",
    ]  # fmt: skip
    verbs = ["go", "have", "wash", "carry", "play", "watch"]
    assert [english.third_person(verb) for verb in verbs] == [
        "goes", "has", "washes", "carries", "plays", "watches",
    ]  # fmt: skip
    verbs = ["write", "put", "lie", "swim", "visit", "play"]
    assert [english.ing(verb) for verb in verbs] == [
        "writing", "putting", "lying", "swimming", "visiting", "playing",
    ]  # fmt: skip
    assert [english.past(verb) for verb in ["buy", "stop", "carry", "bake", "play"]] == [
        "bought", "stopped", "carried", "baked", "played",
    ]  # fmt: skip
    assert [english.comparative(word) for word in ["big", "heavy", "good", "beautiful"]] == [
        "bigger", "heavier", "better", "more beautiful",
    ]  # fmt: skip


# --- word order -------------------------------------------------------------------------------


def opening(tense: str = "pres", **more: object) -> g.Clause:
    """Anna opens the door today, as a clause without order."""
    anna = p.name_phrase("Anna f")
    door = p.noun_phrase(noun_called("Tür"))
    today = g.Part("heute", "today", g.TIME, 60, "time", front=True)
    it = g.Part("die Tür", "the door", g.OBJECT, 20, "acc", front=True, phrase=door)
    clause = g.Clause(anna, "auf|machen", "open", (it, today), tense)
    return replace(clause, **more)  # type: ignore[arg-type]


def test_main_clause_has_the_verb_second() -> None:
    clause = opening()
    door, today = clause.parts
    assert g.german_main(clause) == "Anna macht heute die Tür auf"
    assert g.german_main(clause, today) == "heute macht Anna die Tür auf"
    assert g.german_main(clause, door) == "die Tür macht Anna heute auf"
    assert g.german_main(opening("perf")) == "Anna hat heute die Tür aufgemacht"
    assert g.german_main(opening("fut")) == "Anna wird heute die Tür aufmachen"
    assert g.german_main(opening(modal="müssen")) == "Anna muss heute die Tür aufmachen"
    assert g.german_main(opening(neg=True)) == "Anna macht heute die Tür nicht auf"


def test_subordinate_clause_has_the_verb_last() -> None:
    assert g.german_subordinate(opening(), "weil") == "weil Anna heute die Tür aufmacht"
    assert g.german_subordinate(opening("perf"), "dass") == "dass Anna heute die Tür aufgemacht hat"
    modal = opening(modal="können")
    assert g.german_subordinate(modal, "ob") == "ob Anna heute die Tür aufmachen kann"


def test_questions_and_infinitives() -> None:
    assert g.german_question(opening("perf")) == "hat Anna heute die Tür aufgemacht"
    assert g.german_infinitive(opening(), "um") == "um heute die Tür aufzumachen"
    assert g.german_command(opening(), "Sie", True) == "machen Sie heute bitte die Tür auf"
    past = opening(en_tense="past")
    assert g.english_question(past, "why") == "why did Anna open the door today"
    assert g.english_main(replace(past, neg=True)) == "Anna did not open the door today"
    assert g.english_main(opening(en_tense="prog")) == "Anna is opening the door today"
    assert g.english_main(opening()) == "Anna opens the door today"


def test_particle_goes_behind_a_pronoun_object() -> None:
    anna, lamp = p.name_phrase("Anna f"), p.noun_phrase(noun_called("Lampe"))
    it = p.pronoun_for(lamp)
    assert (it.de("acc"), it.en_object) == ("sie", "it")
    for phrase, expected in ((lamp, "turns on the lamp"), (it, "turns it on")):
        part = g.Part(phrase.de("acc"), phrase.object_en, g.OBJECT, 20, "acc", phrase=phrase)
        clause = g.Clause(anna, "an|machen", "turn ~on", (part,))
        assert g.english_main(clause) == f"Anna {expected}"


def test_pronouns_follow_grammatical_gender() -> None:
    table, milk, book = (noun_called(word) for word in ("Tisch", "Milch", "Buch"))
    found = [p.pronoun_for(p.noun_phrase(noun)) for noun in (table, milk, book)]
    assert [(one.de("nom"), one.en) for one in found] == [("er", "it"), ("sie", "it"), ("es", "it")]
    glasses = p.pronoun_for(p.noun_phrase(noun_called("Brille")))
    assert (glasses.de("nom"), glasses.plural, glasses.en) == ("sie", False, "they")


def test_generated_clauses_keep_verb_second_and_verb_last() -> None:
    draw = Embedding(Random(5))
    for _ in range(400):
        clause = draw.event()
        finite, bracket, last = g.verb_complex(clause)
        subject = clause.subject.de("nom")
        main = g.german_main(clause)
        assert main.startswith(g.tidy(f"{subject} {finite}")), main
        front = next((part for part in clause.parts if part.role in ("time", "place")), None)
        if front is not None:
            inverted = g.german_main(clause, front)
            assert inverted.startswith(g.tidy(f"{front.de} {finite} {subject}")), inverted
        if not any(part.later for part in clause.parts):
            assert main.endswith(bracket)
            assert g.german_subordinate(clause, "dass").endswith(last)
