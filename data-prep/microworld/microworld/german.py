"""German inflection for the microworld corpus: articles, adjectives, nouns and verbs.

Everything is a pure function of its arguments. Cases are "nom", "acc", "dat", "gen"; genders are
"m", "f", "n", and "p" stands for any plural.
"""

from dataclasses import dataclass, field

CASES = ("nom", "acc", "dat", "gen")

DEFINITE = {
    "m": ("der", "den", "dem", "des"),
    "f": ("die", "die", "der", "der"),
    "n": ("das", "das", "dem", "des"),
    "p": ("die", "die", "den", "der"),
}
STRONG = {
    "m": ("er", "en", "em", "es"),
    "f": ("e", "e", "er", "er"),
    "n": ("es", "es", "em", "es"),
    "p": ("e", "e", "en", "er"),
}
RELATIVE = {
    "m": ("der", "den", "dem", "dessen"),
    "f": ("die", "die", "der", "deren"),
    "n": ("das", "das", "dem", "dessen"),
    "p": ("die", "die", "denen", "deren"),
}
EIN_WORDS = ("ein", "kein", "mein", "dein", "sein", "ihr", "unser", "euer", "Ihr")
DER_WORDS = ("dies", "welch")
CONTRACTIONS = {
    "in dem": "im", "in das": "ins", "an dem": "am", "an das": "ans", "zu dem": "zum",
    "zu der": "zur", "bei dem": "beim", "von dem": "vom",
}  # fmt: skip


@dataclass(frozen=True)
class Noun:
    """A noun in both languages; `weak` nouns take their plural form in all other singular cases."""

    de: str
    gender: str
    genitive: str
    de_plural: str
    en: str
    en_plural: str
    tags: frozenset[str] = field(default_factory=frozenset)
    weak: bool = False

    def form(self, case: str, plural: bool) -> str:
        """The German form for a case and number."""
        if plural or self.gender == "p":
            needs_n = case == "dat" and self.de_plural[-1] not in "ns"
            return self.de_plural + ("n" if needs_n else "")
        if self.weak and case != "nom":
            return self.de_plural
        return self.genitive if case == "gen" else self.de


def determiner(word: str, case: str, gender: str) -> str:
    """Inflect "der", an ein-word, or the stem of a der-word (dies-, jed-, welch-, all-)."""
    index = CASES.index(case)
    if word == "der":
        return DEFINITE[gender][index]
    ending = STRONG[gender][index]
    if word in EIN_WORDS:
        if (case == "nom" and gender in "mn") or (case == "acc" and gender == "n"):
            return word
        stem = word[:-2] + "r" if word == "euer" else word
        return stem + ending
    return word + ending


def adjective_ending(kind: str, case: str, gender: str) -> str:
    """The ending of an attributive adjective; kind is "weak", "mixed" or "strong"."""
    if kind == "strong":
        if case == "gen" and gender in "mn":
            return "en"
        return STRONG[gender][CASES.index(case)]
    if gender == "p" or case in ("dat", "gen") or (case == "acc" and gender == "m"):
        return "en"
    if kind == "weak" or gender == "f":
        return "e"
    return STRONG[gender][CASES.index(case)]


def adjective_kind(det: str) -> str:
    """Which declension an adjective follows after this determiner ("" or a numeral: strong)."""
    if det == "der" or det in DER_WORDS:
        return "weak"
    return "mixed" if det in EIN_WORDS else "strong"


def adjective_stem(word: str) -> str:
    """The stem an ending is added to: hoch-hoh-, dunkel-dunkl-, teuer-teur-, müde-müd-."""
    if word == "hoch":
        return "hoh"
    if word.endswith("el") or word in ("teuer", "sauer"):
        return word[:-2] + word[-1]
    return word[:-1] if word.endswith("e") else word


def contract(preposition: str, phrase: str) -> str:
    """Join a preposition and a noun phrase, merging "in dem Haus" into "im Haus" and so on."""
    article, _, rest = phrase.partition(" ")
    merged = CONTRACTIONS.get(f"{preposition} {article}")
    # A bare "dem" or "das" (no noun after it) is a relative pronoun, which never contracts.
    return f"{merged} {rest}" if merged and rest else f"{preposition} {phrase}"


# infinitive: stem of du/er present, preterite of ich, participle
STRONG_VERBS: dict[str, tuple[str, str, str]] = {
    line.split()[0]: (line.split()[1], line.split()[2], line.split()[3])
    for line in """
backen back backte gebacken|beginnen beginn begann begonnen|bekommen bekomm bekam bekommen
bieten biet bot geboten|bitten bitt bat gebeten|bleiben bleib blieb geblieben
brechen brich brach gebrochen|bringen bring brachte gebracht|denken denk dachte gedacht
essen iss aß gegessen|fahren fähr fuhr gefahren|fallen fäll fiel gefallen
fangen fäng fing gefangen|finden find fand gefunden|fliegen flieg flog geflogen
fressen friss fraß gefressen|geben gib gab gegeben|gefallen gefäll gefiel gefallen
gehen geh ging gegangen|gewinnen gewinn gewann gewonnen|gießen gieß goss gegossen
halten hält hielt gehalten|heben heb hob gehoben
helfen hilf half geholfen|kennen kenn kannte gekannt|kommen komm kam gekommen
laden lädt lud geladen|laufen läuf lief gelaufen|leihen leih lieh geliehen
lesen lies las gelesen|liegen lieg lag gelegen|nehmen nimm nahm genommen
reiten reit ritt geritten|rufen ruf rief gerufen|scheinen schein schien geschienen
schießen schieß schoss geschossen|schlafen schläf schlief geschlafen
schließen schließ schloss geschlossen|schneiden schneid schnitt geschnitten
schreiben schreib schrieb geschrieben|schwimmen schwimm schwamm geschwommen
sehen sieh sah gesehen|singen sing sang gesungen|sitzen sitz saß gesessen
sprechen sprich sprach gesprochen|springen spring sprang gesprungen|stehen steh stand gestanden
steigen steig stieg gestiegen|streichen streich strich gestrichen|tragen träg trug getragen
treffen triff traf getroffen|trinken trink trank getrunken|vergessen vergiss vergaß vergessen
verlieren verlier verlor verloren|verstehen versteh verstand verstanden
versprechen versprich versprach versprochen|waschen wäsch wusch gewaschen
werfen wirf warf geworfen|wissen weiß wusste gewusst|ziehen zieh zog gezogen
besitzen besitz besaß besessen|beschließen beschließ beschloss beschlossen
verlassen verläss verließ verlassen
beschreiben beschreib beschrieb beschrieben|unterschreiben unterschreib unterschrieb unterschrieben
haben ha hatte gehabt|sein sei war gewesen|werden wir wurde geworden
können kann konnte gekonnt|müssen muss musste gemusst|wollen will wollte gewollt
dürfen darf durfte gedurft|sollen soll sollte gesollt|mögen mag mochte gemocht
""".replace("|", "\n")
    .strip()
    .splitlines()
}
# ich, du, er singular; the plural is regular except for "sein"
PRESENT: dict[str, tuple[str, str, str]] = {
    "sein": ("bin", "bist", "ist"), "haben": ("habe", "hast", "hat"),
    "werden": ("werde", "wirst", "wird"), "können": ("kann", "kannst", "kann"),
    "müssen": ("muss", "musst", "muss"), "wollen": ("will", "willst", "will"),
    "dürfen": ("darf", "darfst", "darf"), "sollen": ("soll", "sollst", "soll"),
    "mögen": ("mag", "magst", "mag"), "wissen": ("weiß", "weißt", "weiß"),
    "möchten": ("möchte", "möchtest", "möchte"), "würden": ("würde", "würdest", "würde"),
    "hätten": ("hätte", "hättest", "hätte"), "wären": ("wäre", "wärst", "wäre"),
    "laden": ("lade", "lädst", "lädt"),
}  # fmt: skip
INSEPARABLE = ("be", "ver", "er", "ent", "zer", "emp", "miss", "unter", "über", "wieder")


def split_verb(verb: str) -> tuple[str, str]:
    """("auf", "machen") for "auf|machen", ("", "lesen") for "lesen"."""
    prefix, bar, base = verb.partition("|")
    return (prefix, base) if bar else ("", verb)


def infinitive(verb: str) -> str:
    """The dictionary form: "aufmachen", "spazieren gehen"."""
    return verb.replace("|", "")


def zu_infinitive(verb: str) -> str:
    """ "zu lesen", "aufzumachen", "spazieren zu gehen"."""
    prefix, base = split_verb(verb)
    if not prefix:
        return f"zu {base}"
    return f"{prefix}zu {base}" if prefix.endswith(" ") else f"{prefix}zu{base}"


def _stem(base: str) -> str:
    return base[:-1] if base.endswith(("eln", "ern", "tun", "sein")) else base[:-2]


def _linking_e(stem: str) -> str:
    """ "e" where an ending in -t or -st needs one: arbeit-e-t, öffn-e-t; not lern-t."""
    if stem[-1] in "td" or (stem[-1] in "mn" and stem[-2] in "fgdtkbp"):
        return "e"
    return "e" if stem[-3:] in ("chn",) else ""


def participle(verb: str) -> str:
    """The past participle: gelesen, aufgemacht, besucht, repariert, spazieren gegangen."""
    prefix, base = split_verb(verb)
    if base in STRONG_VERBS:
        return prefix + STRONG_VERBS[base][2]
    stem = _stem(base)
    inseparable = base.endswith("ieren") or (base.startswith(INSEPARABLE) and base != "bellen")
    ge = "" if inseparable else "ge"
    return f"{prefix}{ge}{stem}{_linking_e(stem)}t"


def present(verb: str, person: int, plural: bool) -> str:
    """The finite present form of the base verb, without its separable prefix."""
    base = split_verb(verb)[1]
    if base == "sein" and plural:
        return ("sind", "seid", "sind")[person - 1]
    if base in PRESENT and not plural:
        return PRESENT[base][person - 1]
    stem = _stem(base)
    if plural:
        return base if person != 2 else f"{stem}{_linking_e(stem)}t"
    if person == 1:
        return f"{stem[:-2]}le" if base.endswith("eln") else f"{stem}e"
    changed = STRONG_VERBS[base][0] if base in STRONG_VERBS else stem
    link = _linking_e(stem) if changed == stem else ""
    if person == 2:
        return changed + ("t" if changed[-1] in "sßzx" else f"{link}st")
    return changed if changed != stem and changed[-1] == "t" else f"{changed}{link}t"


def preterite(verb: str, person: int, plural: bool) -> str:
    """The finite preterite of the base verb, without its separable prefix."""
    base = split_verb(verb)[1]
    stem = _stem(base)
    form = STRONG_VERBS[base][1] if base in STRONG_VERBS else f"{stem}{_linking_e(stem)}te"
    if not plural:
        return form if person != 2 else form + ("est" if form[-1] in "sßtd" else "st")
    if person == 2:
        return form + ("et" if form[-1] in "td" else "t")
    return form + ("n" if form.endswith("e") else "en")


def imperative(verb: str, addressee: str) -> str:
    """The command form (without prefix) to "du", "ihr" or "Sie" (the pronoun Sie not included)."""
    base = split_verb(verb)[1]
    if addressee == "ihr":
        return present(verb, 2, True)
    if addressee == "Sie":
        return base
    stem = _stem(base)
    changed = STRONG_VERBS[base][0] if base in STRONG_VERBS else stem
    # Only e-to-i changes carry over into the command: gib, lies, but fahr, lauf.
    if changed != stem and "i" in changed and "ä" not in changed:
        return changed
    if base.endswith("eln"):
        return f"{stem[:-2]}le"
    return stem + _linking_e(stem)
