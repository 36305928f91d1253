"""English inflection for the microworld corpus: articles, plurals, verb forms, adjectives."""

from microworld.tables import word_set

# base: past, participle
IRREGULAR: dict[str, tuple[str, str]] = {
    line.split()[0]: (line.split()[1], line.split()[-1])
    for line in """
be was been|become became become|begin began begun|break broke broken|bring brought brought
build built built|buy bought bought|catch caught caught|come came come|cut cut cut|do did done
draw drew drawn|dream dreamt dreamt|drink drank drunk|drive drove driven|eat ate eaten
fall fell fallen|feed fed fed|feel felt felt|find found found|fly flew flown
forget forgot forgotten|get got got|give gave given|go went gone|hang hung hung|have had had
hear heard heard|know knew known|leave left left|lend lent lent|lie lay lain|light lit lit
lose lost lost|make made made|meet met met|pay paid paid|put put put|read read read
ride rode ridden|ring rang rung|run ran run|say said said|see saw seen|sell sold sold|set set set
send sent sent|shine shone shone|show showed shown|withdraw withdrew withdrawn
sing sang sung|sit sat sat|sleep slept slept
speak spoke spoken|stand stood stood|sweep swept swept|swim swam swum|take took taken
teach taught taught|tell told told|think thought thought|throw threw thrown
understand understood understood|wake woke woken|wear wore worn|win won won|write wrote written
""".replace("|", "\n")
    .strip()
    .splitlines()
}
DOUBLED = word_set(
    "begin chat cut drop forget get hug jog put plan run set shop sit stop swim travel win"
)
AN_EXCEPTIONS = {"university": "a", "useful": "a", "uniform": "a", "hour": "an", "honest": "an"}
BE_PRESENT = {(1, False): "am", (2, False): "are", (3, False): "is"}


def article(phrase: str) -> str:
    """Put "a" or "an" before a phrase, by the sound of its first word."""
    first = phrase.split()[0].lower()
    chosen = AN_EXCEPTIONS.get(first) or ("an" if first[0] in "aeiou" else "a")
    return f"{chosen} {phrase}"


def plural_of(noun: str) -> str:
    """The regular English plural."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")


def third_person(verb: str) -> str:
    """The third person singular of the simple present."""
    if verb in ("have", "be"):
        return {"have": "has", "be": "is"}[verb]
    if verb.endswith("o"):
        return verb + "es"
    return plural_of(verb)


def past(verb: str) -> str:
    """The simple past (of "be": "was")."""
    if verb in IRREGULAR:
        return IRREGULAR[verb][0]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + (verb[-1] if verb in DOUBLED else "") + "ed"


def participle(verb: str) -> str:
    """The past participle."""
    return IRREGULAR[verb][1] if verb in IRREGULAR else past(verb)


def ing(verb: str) -> str:
    """The -ing form."""
    if verb == "lie":
        return "lying"
    if verb in DOUBLED:
        return verb + verb[-1] + "ing"
    if verb.endswith("e") and not verb.endswith("ee") and verb != "be":
        return verb[:-1] + "ing"
    return verb + "ing"


def be(tense: str, person: int, plural: bool) -> str:
    """The finite form of "be" for tense "pres" or "past"."""
    if tense == "pres":
        return "are" if plural else BE_PRESENT[(person, plural)]
    return "were" if plural or person == 2 else "was"


def finite(verb: str, tense: str, person: int, plural: bool) -> str:
    """The finite form of any verb without auxiliary, tense "pres" or "past"."""
    if tense == "past":
        return past(verb)
    return third_person(verb) if person == 3 and not plural else verb


def verb_group(
    verb: str, tense: str, person: int, plural: bool, *, question: bool = False, neg: bool = False
) -> tuple[str, str]:
    """(auxiliary, rest) of one verb; the auxiliary is "" in a plain simple tense.

    `verb` may be a modal chain such as "can|read" or "want to|read"; tense is one of "pres",
    "past", "prog", "pastprog", "fut", "perf", "perfprog", "plup".
    """
    head, _, tail = verb.partition("|")
    if head in ("can", "should", "would like to", "would"):
        modal, _, extra = head.partition(" ")
        return modal, f"{extra} {tail}".strip()
    word, _, extra = head.partition(" ")
    rest = f"{extra} {tail}".strip()
    if tense == "fut":
        return "will", f"{word} {rest}".strip()
    if tense in ("prog", "pastprog"):
        tense_of_be = "pres" if tense == "prog" else "past"
        return be(tense_of_be, person, plural), f"{ing(word)} {rest}".strip()
    if tense == "perfprog":
        return finite("have", "pres", person, plural), f"been {ing(word)} {rest}".strip()
    if tense in ("perf", "plup"):
        have = finite("have", "pres" if tense == "perf" else "past", person, plural)
        return have, f"{participle(word)} {rest}".strip()
    if word == "be":
        return be(tense, person, plural), rest
    if question or neg:
        do = finite("do", tense, person, plural)
        return do, f"{word} {rest}".strip()
    return "", f"{finite(word, tense, person, plural)} {rest}".strip()


def comparative(adjective: str) -> str:
    """ "older", "bigger", "heavier", "more beautiful", "better"."""
    return "better" if adjective == "good" else _compared(adjective, "more", "er")


def superlative(adjective: str) -> str:
    """ "oldest", "most beautiful" (without "the")."""
    return _compared(adjective, "most", "est")


SYLLABIC = word_set("modern famous boring useful tired")


def _compared(adjective: str, word: str, ending: str) -> str:
    if len(adjective) > 6 or adjective in SYLLABIC:
        return f"{word} {adjective}"
    stem = adjective.removesuffix("e")
    if adjective.endswith("y"):
        stem = adjective[:-1] + "i"
    doubled = adjective in ("big", "thin", "hot", "red", "sad")
    return stem + stem[-1] * doubled + ending
