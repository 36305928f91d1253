"""The generated corpus: inflection tables, word order, sizes, determinism, phenomena."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from labo_data.microworld import corpus as microworld
from labo_data.microworld import english
from labo_data.microworld import german
from labo_data.microworld import grammar as g
from labo_data.microworld import phrases as p
from labo_data.microworld.embedding import Embedding
from labo_data.microworld.lexicon import Adjective
from labo_data.microworld.nouns import noun_called

DATA_PREP = Path(microworld.__file__).parents[2]
ALT = Adjective("alt", "old", 3, "", "älter", "ältest")
KLEIN = Adjective("klein", "small", 2, "", "kleiner", "kleinst")
ROT = Adjective("rot", "red", 5, "", "", "")


@pytest.fixture(scope="module")
def corpus() -> microworld.Corpus:
    return microworld.generate(seed=1)


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


# --- the corpus -------------------------------------------------------------------------------


def test_sizes_and_distinct_pairs(corpus: microworld.Corpus) -> None:
    assert {split: len(pairs) for split, pairs in corpus.items()} == {
        "train": 24_000, "valid": 500, "test": 500,
    }  # fmt: skip
    everything = [pair for pairs in corpus.values() for pair in pairs]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("side", [0, 1])
def test_held_out_sides_do_not_occur_elsewhere(corpus: microworld.Corpus, side: int) -> None:
    train, valid, test = ({pair[side] for pair in corpus[split]} for split in microworld.SPLITS)
    assert not train & valid
    assert not train & test
    assert not valid & test
    assert len(valid) == len(test) == 500


def test_another_seed_gives_another_text() -> None:
    first, second = (microworld.generate(seed=n, train=200, valid=0, test=0) for n in (1, 2))
    assert len(set(first["train"]) & set(second["train"])) < 20


def test_same_text_in_processes_with_other_hash_seeds() -> None:
    code = (
        "import hashlib; from labo_data.microworld import generate; "
        "print(hashlib.sha256(repr(generate(seed=3, train=1500, valid=50, test=50)).encode())"
        ".hexdigest())"
    )
    digests = set()
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONPATH": str(DATA_PREP), "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(run.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("sizes", [{"train": -1}, {"valid": -5}, {"test": -2}])
def test_negative_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"Expected .* found -\d\. Give"):
        microworld.generate(seed=1, **sizes)


def test_too_many_pairs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_sentence(self: Embedding) -> list[tuple[int, object]]:
        return [(1, lambda: ("Es regnet heute.", "It is raining today."))]

    monkeypatch.setattr(microworld.Embedding, "templates", one_sentence)
    with pytest.raises(ValueError, match=r"Expected .* found 1 in \d+ draws\. Ask for fewer"):
        microworld.generate(seed=1, train=2, valid=0, test=0)


def test_every_sentence_is_well_formed(corpus: microworld.Corpus) -> None:
    letters = {"de": "A-Za-zÄÖÜäöüßé", "en": "A-Za-zéü'"}
    for pairs in corpus.values():
        for german_text, english_text in pairs:
            for language, text in (("de", german_text), ("en", english_text)):
                assert re.fullmatch(rf"[{letters[language]}, -]+[.?!]", text), text
                assert text[0].isupper(), text
                assert not re.search(r"  | [,.?!]|,[^ ]|,,|, [.?!]", text), text
            assert german_text[-1] == english_text[-1], (german_text, english_text)


def test_english_articles_and_negations(corpus: microworld.Corpus) -> None:
    for _, text in corpus["train"]:
        assert not re.search(r"\b[Aa] [aeio]", text), text
        assert not re.search(r"\b[Aa]n [^aeiou]", text), text
        assert "can not" not in text, text
        assert not re.search(r"\b(\w+) \1\b", text), text


def test_lengths_and_vocabulary(corpus: microworld.Corpus) -> None:
    words = [Counter[str](), Counter[str]()]
    for pair in corpus["train"]:
        for side in (0, 1):
            words[side].update(re.findall(r"[^\W\d_]+", pair[side]))
    assert len(words[0]) >= 2000
    assert len(words[1]) >= 1200
    for side in (0, 1):
        lengths = [len(pair[side].split()) for pair in corpus["train"]]
        assert 8.5 <= sum(lengths) / len(lengths) <= 11
        assert max(lengths) <= 30


PHENOMENA = [
    # (German pattern, English pattern, least number of training pairs)
    (r", weil .* (ist|war|hat|hatte|sind|waren|haben|hatten)\.$", r" because ", 800),
    (r", dass ", r" that ", 1000),
    (r"^Obwohl |, obwohl ", r"[Aa]lthough ", 500),
    (r"^Wenn .*, (\w+) ", r"^(When|If) ", 400),
    (r"^Wenn .* (hätte|wäre|hätten|wären)n?, würde", r"^If .* would ", 300),
    (r"^Während .*, ", r"^While .*ing", 200),
    (r"^Nachdem .* (hatten?|waren?), ", r"^After .* had ", 150),
    (r"^Bevor ", r"^Before ", 100),
    (r"^Als ", r"^When .*ed|^When .*came", 100),
    (r", ob ", r" whether ", 100),
    (r", (den|dem|der|die|das) [^,]*(hat|haben|te|ten|t),? ", r" (who|that|which) ", 500),
    (r", (auf|in|mit|für|vor) (dem|der|den|das|die|denen) ", r" (on|in|which|with|for|of) ", 20),
    (r"^(Heute|Gestern|Morgen|Vorgestern) ", r"^(Today|Yesterday|Tomorrow|The day)", 200),
    (r"^(Hast|Habt|Haben|Hat) .*\?$", r"^Did .*\?$", 300),
    (r"^(Wer|Was|Wann|Wohin|Warum|Wo|Wen|Wem|Wie oft|Welche[ns]?) .*\?$",
     r"^(Who|What|When|Where|Why|How|Which) ", 1000),
    (r" nicht ", r" not ", 800),
    (r" keine?n? ", r" not .*(an?|any) ", 60),
    (r" (kann|muss|will|darf|soll|möchte)\b.*en\.$", r" (can|has to|wants to|should|would) ", 300),
    (r" (wird|werden|werde) .*n\.$", r" will ", 500),
    (r" (aufgemacht|angerufen|eingekauft|aufgeräumt|zugemacht|ausgemacht|angekommen)\b", r"", 200),
    (r" \w+zu(machen|rufen|räumen|kaufen|setzen|ziehen|schalten)\b", r" to | without ", 60),
    (r" um .* zu |, um \w*zu", r" to ", 300),
    (r" ohne ", r" without \w+ing", 60),
    (r"ist \w+er als |war \w+er als ", r"(er|more \w+) than ", 200),
    (r" so \w+ wie ", r" as \w+ as ", 60),
    (r"^Das ist d\w\w \w+ste ", r"^This is the (most|\w+est) ", 60),
    (r" gern ", r" likes? to ", 100),
    (r" (gefällt|gefallen|schmeckt) ", r" likes? ", 300),
    (r" (ihm|ihr) kalt ", r" (he|she) was cold", 5),
    (r" seit (\w+) (Jahren|Monaten|Wochen) |^Seit ", r" (has|have) been \w+ing", 300),
    (r" (wird|wurde|wurden|werden) .*(t|en)\.$", r" (is|are|was|were) (being )?\w+", 200),
    (r" (gehört|gehören) ", r" belongs? to ", 150),
    (r"\b(im|ins|am|zum|zur|vom) ", r"", 1500),
    (r"\b(bei der Bank|zur Bank)\b", r"\bbank\b", 40),
    (r"\b(Bank|Bänke)\b", r"\bbench(es)?\b", 40),
    (r"\bSchl(oss|össer)\b", r"\block\b", 30), (r"\bSchl(oss|össer)", r"\bcastle", 60),
    (r"\bBirnen?\b", r"\bpear", 60), (r"\bBirnen?\b", r"\blight bulb", 20),
    (r"\bDecken?\b", r"\bblanket", 60), (r"\bDecken?\b", r"\bceiling", 40),
    (r"\bGericht\b", r"\bdish", 30), (r"\bGericht\b", r"\bcourt", 10),
    (r"\bH(ahn|ähne)\b", r"\brooster", 60), (r"\bH(ahn|ähne)\b", r"\btap", 30),
    (r"\bTore?\b", r"\bgate", 30), (r"\bTor\b", r"\bgoal", 30),
    (r"\bStr(auß|äuße|auße)\b", r"\bostrich", 20), (r"\bStr(auß|äuße)\b", r"\bbouquet", 30),
    (r"\bUhr(en)?\b", r"\bwatch", 30), (r"\bUhr(en)?\b", r"\bclock", 5),
    (r"\bLeiter\b", r"\bladder", 20), (r"\bLeiter\b", r"\bmanager", 30),
    (r"\bder See\b|die See\b", r"\bsea\b", 40), (r"\bam See\b|den See\b", r"\blake\b", 60),
    (r"\b(weiß|weißt|wissen|wisst)\b", r"\bknows?\b", 500),
    (r"\bkenn(en|t|e|st)\b", r"\bknows?\b", 20),
    (r"\bstell", r"\bput", 60),
    (r"\bleg", r"\bput", 100),
    (r"\b(häng|gehängt)", r"\b(hang|hung)", 60),
    (r"\bHausaufgaben\b", r"\bhomework\b", 40), (r"\bPause\b", r"\bbreak\b", 40),
    (r"\bspiel.*(Klavier|Geige|Gitarre|Flöte|Trommel)\b", r"\bplay.* the ", 40),
    (r"\bspielt? .*(Fußball|Schach|Karten)\b", r"\bplay", 60),
    (r"\bSie\b.*\?", r"^(Did|Do|Are|Will|Can|Have|Wh|How|Should).* you ", 400),
    (r"\b(Haustür|Kinderbuch|Apfelbaum|Bahnhof|Krankenhaus|Küchentisch|Regenmantel)\b", r"", 300),
    (r"^[A-ZÄÖÜ]\w+ (Sie )?.*bitte.*[.!]$", r"^Please ", 200),
]  # fmt: skip


@pytest.mark.parametrize(("german_pattern", "english_pattern", "least"), PHENOMENA)
def test_phenomenon_occurs(
    corpus: microworld.Corpus, german_pattern: str, english_pattern: str, least: int
) -> None:
    found = sum(
        1
        for german_text, english_text in corpus["train"]
        if re.search(german_pattern, german_text) and re.search(english_pattern, english_text)
    )
    assert found >= least


def test_at_least_twelve_templates() -> None:
    templates = Embedding(Random(1)).templates()
    assert len(templates) >= 12
    assert all(weight > 0 for weight, _ in templates)


def test_command_writes_parallel_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    destination = tmp_path / "raw"
    arguments = ["--destdir", str(destination), "--seed", "4", "--train", "60", "--valid", "7"]
    assert microworld.main([*arguments, "--test", "5"]) == 0
    expected = microworld.generate(seed=4, train=60, valid=7, test=5)
    for split, size in (("train", 60), ("valid", 7), ("test", 5)):
        for side, language in enumerate(("de", "en")):
            raw = (destination / f"{split}.{language}").read_bytes()
            assert b"\r" not in raw
            lines = raw.decode("utf-8").split("\n")
            assert len(lines) == size + 1
            assert lines[-1] == ""
            assert lines[:-1] == [pair[side] for pair in expected[split]]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in printed[:3]] == [
        "train: 60 pairs", "valid: 7 pairs", "test: 5 pairs",
    ]  # fmt: skip
    assert len(printed) == 6


def test_command_reports_bad_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert microworld.main(["--destdir", str(tmp_path / "raw"), "--train", "-3"]) == 1
    assert "found -3" in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()
