"""Adjectives and personal names of the microworld corpus, as data tables."""

from dataclasses import dataclass
from functools import cache

from microworld.german import Noun, adjective_stem
from microworld.tables import listed

# German [comparative superlative-stem] | English | order of English adjectives | noun classes.
# A "-" for the comparative means that the adjective is not compared.
ADJECTIVES = """
alt älter ältest|old|3|adult,pet,home,sight,furniture,vehicle,clothing,text&thing,device,tree
alt älter ältest|old|3|instrument,openable,carried,outdoor
jung jünger jüngst|young|3|adult,pet,farm,zoo,tree
neu neuer neuest|new|3|furniture,vehicle,clothing,device,prof,instrument,carried
neu neuer neuest|new|3|openable,home,small
klein kleiner kleinst|little|2|young
klein kleiner kleinst|small|2|pet,farm,home,sight,furniture,device,tree,room,carried,laid,stood
groß größer größt|tall|2|adult
groß größer größt|big|2|big,home,sight,furniture,vehicle,room,carried,openable,fruit,baked,stood
schön schöner schönst|beautiful|1|hung,home,sight,flower,tree,clothing,song,gift,bird
freundlich freundlicher freundlichst|friendly|1|person
nett netter nettest|nice|1|person
klug klüger klügst|clever|1|person,dog,bird
fleißig fleißiger fleißigst|hard-working|1|person
faul fauler faulst|lazy|1|person,cat,grazer
stark stärker stärkst|strong|1|adult,zoo
berühmt berühmter berühmtest|famous|1|prof,sight,show,written
reich reicher reichst|rich|1|adult
arm ärmer ärmst|poor|1|adult
hungrig hungriger hungrigst|hungry|1|person,pet,farm,zoo
müde müder müdest|tired|1|person,big
glücklich glücklicher glücklichst|happy|1|person
traurig trauriger traurigst|sad|1|person,written,song,show
lustig lustiger lustigst|funny|1|written,show,song,person
höflich höflicher höflichst|polite|1|person
neugierig neugieriger neugierigst|curious|1|young,pet
gefährlich gefährlicher gefährlichst|dangerous|1|zoo
rot -|red|5|clothing,vehicle,openable,flower,furniture,carried,stood
blau -|blue|5|clothing,vehicle,openable,furniture,carried,stood
grün -|green|5|clothing,vehicle,openable,furniture,carried
gelb -|yellow|5|clothing,flower,bird,stood
schwarz -|black|5|clothing,pet,vehicle,carried,instrument,grazer
weiß -|white|5|clothing,pet,flower,stood,furniture,openable
braun -|brown|5|dog,grazer,furniture,carried,clothing
grau -|grey|5|clothing,cat,prey,vehicle
teuer teurer teuerst|expensive|1|clothing,furniture,vehicle,device,instrument,stood,hung,dish
billig billiger billigst|cheap|1|clothing,furniture,vehicle,device,small,hung
schwer schwerer schwerst|heavy|2|carried,furniture
schwer schwerer schwerst|difficult|1|task,exam
leicht leichter leichtest|light|2|carried
leicht leichter leichtest|easy|1|task,exam
wichtig wichtiger wichtigst|important|1|task,exam,letter
einfach einfacher einfachst|simple|1|task,dish
leer -|empty|1|packed,inside,washed&stood
sauber sauberer sauberst|clean|1|clothing,washed,room
schmutzig schmutziger schmutzigst|dirty|1|clothing,washed,clean,vehicle,room,dog
kaputt -|broken|1|device,driven,bulb,seat,repair&small
warm wärmer wärmst|warm|1|worn,room
kalt kälter kältest|cold|1|drink,room
heiß heißer heißest|hot|1|hot,boiled&mass
frisch frischer frischest|fresh|1|fruit,mass&food,baked
reif reifer reifst|ripe|1|fruit
süß süßer süßest|sweet|1|fruit,baked
sauer saurer sauerst|sour|1|fruit
lecker leckerer leckerst|delicious|1|food,dish
interessant interessanter interessantest|interesting|1|text,show,task,sight,written
langweilig langweiliger langweiligst|boring|1|text,show,task,written
spannend spannender spannendst|exciting|1|written,show
lang länger längst|long|2|letter,written,show
kurz kürzer kürzest|short|2|letter,written,show
hoch höher höchst|tall|2|tree
hoch höher höchst|high|2|fence,wall
modern moderner modernst|modern|1|furniture,home,room,device
gemütlich gemütlicher gemütlichst|cosy|1|room,home,seat
hell heller hellst|bright|1|room,home
dunkel dunkler dunkelst|dark|1|room
bequem bequemer bequemst|comfortable|1|seat,clothing
nützlich nützlicher nützlichst|useful|1|text&thing&goods,device,carried
schnell schneller schnellst|fast|1|vehicle,zoo
langsam langsamer langsamst|slow|1|public
gut besser best|good|1|written,show,dish,prof
scharf schärfer schärfst|sharp|1|knife
"""
# Personal names with the pronoun's gender.
NAMES = listed(
    "Anna f,Peter m,Maria f,Paul m,Julia f,Karl m,Emma f,Martin m,Laura f,Stefan m,Clara f,Erik m,"
    "Lena f,David m,Nina f,Oskar m,Sophie f,Simon m,Eva f,Anton m,Frau Müller f,Herr Schmidt m,"
    "Frau Weber f,Herr Klein m"
)


@dataclass(frozen=True)
class Adjective:
    """An adjective in both languages; `higher`/`highest` are "" when it is not compared."""

    de: str
    en: str
    order: int
    classes: str
    higher: str
    highest: str

    @property
    def stem(self) -> str:
        """What the German endings are added to."""
        return adjective_stem(self.de)


@cache
def adjectives() -> tuple[Adjective, ...]:
    """Every adjective, one entry per English meaning and group of noun classes."""
    found = []
    for line in ADJECTIVES.strip().splitlines():
        german, english, order, classes = line.split("|")
        word, higher, highest = [*german.split(), ""][:3]
        plain = higher == "-"
        found.append(
            Adjective(
                word,
                english,
                int(order),
                classes,
                "" if plain else higher,
                "" if plain else highest,
            )
        )
    return tuple(found)


@cache
def adjectives_for(noun: Noun) -> tuple[Adjective, ...]:
    """The adjectives that make sense with this noun."""
    return tuple(
        adjective
        for adjective in adjectives()
        if any(set(part.split("&")) <= noun.tags for part in adjective.classes.split(","))
    )
