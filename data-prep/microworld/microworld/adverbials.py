"""Places, times, frequencies, manners and numbers of the microworld corpus, as data tables."""

from dataclasses import dataclass
from functools import cache

from microworld.tables import listed, word_set

CITIES = listed(
    "Berlin Berlin,Hamburg Hamburg,München Munich,Wien Vienna,Köln Cologne,Zürich Zurich,"
    "Prag Prague,Rom Rome,Paris Paris,London London,Leipzig Leipzig,Italien Italy,Spanien Spain,"
    "Frankreich France,Österreich Austria,Norwegen Norway"
)
LANGUAGES = listed(
    "Deutsch German,Englisch English,Französisch French,Spanisch Spanish,Italienisch Italian"
)
NUMBERS = listed(
    "zwei two,drei three,vier four,fünf five,sechs six,sieben seven,acht eight,neun nine,"
    "zehn ten,elf eleven,zwölf twelve"
)
DAYS = listed(
    "Montag Monday,Dienstag Tuesday,Mittwoch Wednesday,Donnerstag Thursday,Freitag Friday,"
    "Samstag Saturday,Sonntag Sunday"
)
# German noun, gender, preposition of rest, of motion | English of rest | of motion | groups.
# "+" before the English noun: an adjective may stand there.
PLACES = """
Garten m in in|in the +garden|into the +garden|play eat quiet work rest home garden graze
Küche f in in|in the +kitchen|into the +kitchen|eat cook home
Park m in in|in the +park|to the +park|play quiet walk rest meet go garden
Wald m in in|in the +forest|into the +forest|walk play go
Stadt f in in|in town|into town|shop meet stay go
Wohnzimmer n in in|in the +living room|into the +living room|quiet rest home
Schlafzimmer n in in|in the +bedroom|into the +bedroom|rest quiet home
Kinderzimmer n in in|in the +children's room|into the +children's room|play home
Badezimmer n in in|in the +bathroom|into the +bathroom|none home
Büro n in in|in the +office|to the +office|job stay go
Schule f in in|at school|to school|learn meet go
Krankenhaus n in in|in the +hospital|to the +hospital|job stay go
Museum n in in|in the +museum|to the +museum|job meet stay go
Schloss n in in|in the +castle|to the +castle|live job stay
Restaurant n in in|in the +restaurant|to the +restaurant|eat dine job meet go
Café n in in|in the +café|to the +café|eat dine quiet meet job go
Hotel n in in|in the +hotel|to the +hotel|live job stay
Theater n in in|in the +theatre|to the +theatre|job meet go
Kino n in in|in the +cinema|to the +cinema|meet go
Supermarkt m in in|in the +supermarket|to the +supermarket|shop job go
Bibliothek f in in|in the +library|to the +library|quiet learn job go
Dorf n in in|in the +village|to the +village|live job
Kirche f in in|in the +church|to the +church|meet
Zug m in in|on the +train|onto the +train|quiet eat
Laden m in in|in the +shop|to the +shop|shop job
Apotheke f in in|at the +chemist's|to the +chemist's|job go
Buchladen m in in|in the +bookshop|to the +bookshop|job shop go
Bank f bei zu|at the bank|to the bank|court go bank
Gericht n an zu|at the court|to the court|court go
Bahnhof m an zu|at the +station|to the +station|meet stay go station
Flughafen m an zu|at the +airport|to the +airport|meet job go station
Strand m an an|on the +beach|to the +beach|play walk quiet rest go
Meer n an an|by the sea|to the sea|walk rest quiet
Fluss m an an|by the +river|to the +river|walk play rest go
See m an an|by the +lake|to the +lake|walk rest play
See f an an|by the sea|to the sea|walk rest
Fenster n an an|at the +window|to the +window|none
Bushaltestelle f an zu|at the +bus stop|to the +bus stop|meet station
Markt m auf auf|at the +market|to the +market|shop meet go
Balkon m auf auf|on the +balcony|onto the +balcony|quiet eat rest
Spielplatz m auf auf|in the +playground|to the +playground|play go
Bauernhof m auf auf|on the +farm|to the +farm|live job work farm graze
Straße f auf auf|in the +street|into the street|play meet
Schwimmbad n in in|in the +swimming pool|to the +swimming pool|lake
See m in in|in the +lake|into the +lake|lake water
Fluss m in in|in the +river|into the +river|lake water
Meer n in in|in the sea|into the sea|lake
Wiese f auf auf|in the +meadow|into the +meadow|play rest walk graze
"""
PLACE_ADJECTIVES = "alt old,neu new,klein small,groß big,schön beautiful"
NATURE = word_set("Wald Strand Fluss See Wiese Garten")
# German | English | P present progressive, T past, F future, H habit; L only for long actions.
TIMES = """
heute|today|PTf
jetzt|now|P
gerade|right now|P
im Moment|at the moment|P
gestern|yesterday|T
gestern Abend|yesterday evening|T
vorgestern|the day before yesterday|T
heute Morgen|this morning|T
letzte Woche|last week|T
am Wochenende|at the weekend|TfH
am {day}|on {day}|TF
am {day}|on {day}|TF
am Nachmittag|in the afternoon|Tf
vor {n} Tagen|{n} days ago|T
vor {n} Stunden|{n} hours ago|T
nach dem Essen|after the meal|Tf
morgen|tomorrow|F
morgen früh|tomorrow morning|F
übermorgen|the day after tomorrow|F
heute Abend|this evening|F
nächste Woche|next week|F
bald|soon|F
in {n} Tagen|in {n} days|F
jeden Tag|every day|H
jeden Morgen|every morning|H
jeden Abend|every evening|H
jede Woche|every week|H
jeden {day}|every {day}|H
abends|in the evening|H
morgens|in the morning|H
im Sommer|in summer|H
im Winter|in winter|H
letztes Jahr|last year|TL
letzten Sommer|last summer|TL
letzten Monat|last month|TL
vor {n} Jahren|{n} years ago|TL
vor {n} Wochen|{n} weeks ago|TL
nächstes Jahr|next year|FL
nächsten Monat|next month|FL
"""
FREQUENCIES = listed(
    "oft often,häufig often,manchmal sometimes,immer always,selten rarely,nie never,"
    "meistens usually"
)
MANNERS = {
    "langsam": "slowly", "schnell": "quickly", "vorsichtig": "carefully", "leise": "quietly",
    "laut": "loudly", "allein": "alone", "sofort": "immediately", "gut": "well",
    "fleißig": "hard", "gemeinsam": "together",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A place with its prepositions; the English phrases mark an adjective's place with "+"."""

    noun: str
    gender: str
    rest: str
    motion: str
    en_rest: str
    en_motion: str
    groups: frozenset[str]


@cache
def places(group: str) -> tuple[Place, ...]:
    """The places of a group ("" for all)."""
    found = []
    for line in PLACES.strip().splitlines():
        german, rest, motion, groups = line.split("|")
        noun, gender, at, toward = german.split()
        place = Place(noun, gender, at, toward, rest, motion, frozenset(groups.split()))
        if not group or group in place.groups:
            found.append(place)
    return tuple(found)
