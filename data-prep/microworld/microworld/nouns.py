"""The nouns of the microworld corpus, by semantic class.

A line is "German gender genitive plural | English [/ English plural]". The genitive column is an
ending, 0 for none, or W for a weak noun; gender p marks nouns that exist only in the plural and
plural "-" mass nouns. A trailing "+tag" adds a class; "@a b" sets the classes of what follows.
"""

from functools import cache

from microworld.english import plural_of
from microworld.german import Noun

TABLE = """
@person adult
Mann m es Männer|man/men; Frau f 0 Frauen|woman/women; Lehrer m s Lehrer|teacher +prof
Lehrerin f 0 Lehrerinnen|teacher +prof; Arzt m es Ärzte|doctor +prof
Ärztin f 0 Ärztinnen|doctor +prof; Student m W Studenten|student; Nachbar m W Nachbarn|neighbour
Studentin f 0 Studentinnen|student; Nachbarin f 0 Nachbarinnen|neighbour
Bäcker m s Bäcker|baker +prof; Bauer m W Bauern|farmer +prof; Koch m s Köche|cook +prof
Verkäuferin f 0 Verkäuferinnen|shop assistant +prof; Polizist m W Polizisten|police officer +prof
Kellner m s Kellner|waiter +prof; Kellnerin f 0 Kellnerinnen|waitress +prof
Krankenschwester f 0 Krankenschwestern|nurse +prof; Musiker m s Musiker|musician +prof
Maler m s Maler|painter +prof; Tourist m W Touristen|tourist; Gast m es Gäste|guest
Freund m es Freunde|friend +kin; Freundin f 0 Freundinnen|friend +kin
Kollege m W Kollegen|colleague +kin; Kollegin f 0 Kolleginnen|colleague +kin
Anwalt m s Anwälte|lawyer +prof; Schriftstellerin f 0 Schriftstellerinnen|writer +prof
Königin f 0 Königinnen|queen; König m s Könige|king; Leute p 0 Leute|people/people
Leiter m s Leiter|manager +prof
Gärtner m s Gärtner|gardener +prof; Ingenieurin f 0 Ingenieurinnen|engineer +prof
@person young
Kind n es Kinder|child/children; Junge m W Jungen|boy; Mädchen n s Mädchen|girl
Schüler m s Schüler|pupil; Schülerin f 0 Schülerinnen|pupil
@person adult kin
Bruder m s Brüder|brother +sibling; Schwester f 0 Schwestern|sister +sibling
Mutter f 0 Mütter|mother +one
Vater m s Väter|father +one; Onkel m s Onkel|uncle; Tante f 0 Tanten|aunt
Großmutter f 0 Großmütter|grandmother +one; Großvater m s Großväter|grandfather +one
Sohn m es Söhne|son +sibling
Tochter f 0 Töchter|daughter +sibling; Eltern p 0 Eltern|parents/parents +one
Großeltern p 0 Großeltern|grandparents/grandparents +one
@animal pet big
Hund m es Hunde|dog +dog predator; Katze f 0 Katzen|cat +cat predator
@animal pet
Kaninchen n s Kaninchen|rabbit +grazer; Papagei m W Papageien|parrot +bird
Vogel m s Vögel|bird +bird songbird; Maus f 0 Mäuse|mouse/mice +prey
@animal farm big grazer
Pferd n es Pferde|horse; Kuh f 0 Kühe|cow; Schaf n es Schafe|sheep/sheep; Ziege f 0 Ziegen|goat
@animal farm bird
Ente f 0 Enten|duck; Huhn n es Hühner|hen; Hahn m s Hähne|rooster +rooster
@animal zoo big
Elefant m W Elefanten|elephant; Löwe m W Löwen|lion +predator
Bär m W Bären|bear +predator; Affe m W Affen|monkey
Strauß m es Strauße|ostrich/ostriches
@fruit food goods
Apfel m s Äpfel|apple; Birne f 0 Birnen|pear; Banane f 0 Bananen|banana
Orange f 0 Orangen|orange; Pfirsich m s Pfirsiche|peach; Pflaume f 0 Pflaumen|plum
@food goods
Ei n s Eier|egg; Brötchen n s Brötchen|bread roll; Wurst f 0 Würste|sausage
Apfelkuchen m s Apfelkuchen|apple cake +baked; Kuchen m s Kuchen|cake +baked
Keks m es Kekse|biscuit +baked; Kartoffel f 0 Kartoffeln|potato/potatoes +boiled peeled
Tomate f 0 Tomaten|tomato/tomatoes; Pizza f 0 Pizzas|pizza +baked; Torte f 0 Torten|tart +baked
@dish
Gericht n s Gerichte|dish/dishes +cooked; Nachtisch m s Nachtische|dessert +salad
Salat m s Salate|salad +salad food
@mass food goods
Brot n s -|bread +baked; Käse m s -|cheese; Reis m es -|rice +boiled; Suppe f 0 -|soup +boiled
Fleisch n es -|meat; Gemüse n s -|vegetables/vegetables +pt; Obst n es -|fruit
Schokolade f 0 -|chocolate; Eis n es -|ice cream; Marmelade f 0 -|jam; Schinken m s -|ham
Kartoffelsalat m s -|potato salad
@mass drink goods
Wasser n s -|water +milkish; Milch f 0 -|milk +milkish; Kaffee m s -|coffee +hot; Tee m s -|tea +hot
Saft m s -|juice; Apfelsaft m s -|apple juice; Bier n s -|beer; Wein m s -|wine
Orangensaft m s -|orange juice; Limonade f 0 -|lemonade
@thing text goods own laid gift
Buch n es Bücher|book; Zeitung f 0 Zeitungen|newspaper; Roman m s Romane|novel +written
Zeitschrift f 0 Zeitschriften|magazine; Kinderbuch n s Kinderbücher|children's book +written
Wörterbuch n s Wörterbücher|dictionary; Kochbuch n s Kochbücher|cookbook
@thing text written own laid letter
Brief m es Briefe|letter; Postkarte f 0 Postkarten|postcard; Gedicht n s Gedichte|poem +told
@thing laid letter
Rechnung f 0 Rechnungen|bill +bill
@text written told
Geschichte f 0 Geschichten|story +story; Märchen n s Märchen|fairy tale +story
@thing clothing goods own hung worn
Mantel m s Mäntel|coat; Hemd n es Hemden|shirt; Kleid n es Kleider|dress; Rock m s Röcke|skirt
Jacke f 0 Jacken|jacket
@thing clothing goods own small
Hut m es Hüte|hat +head; Mütze f 0 Mützen|cap +head
Schal m s Schals|scarf/scarves; Brille f 0 -|glasses +pt head
Pullover m s Pullover|sweater +worn; Hose f 0 -|trousers +pt worn; Uhr f 0 Uhren|watch +repair
Regenmantel m s Regenmäntel|raincoat +worn; Ring m es Ringe|ring +gift
@thing openable lockable repair painted
Tür f 0 Türen|door; Haustür f 0 Haustüren|front door; Tor n es Tore|gate; Garage f 0 Garagen|garage
Gartentür f 0 Gartentüren|garden gate
@thing openable
Fenster n s Fenster|window +clean painted; Schublade f 0 Schubladen|drawer
Küchenfenster n s Küchenfenster|kitchen window +clean
@thing openable carried own
Koffer m s Koffer|suitcase +goods packed; Kiste f 0 Kisten|box; Paket n s Pakete|parcel +letter
Tasche f 0 Taschen|bag +goods packed; Rucksack m s Rucksäcke|rucksack +goods packed
@thing carried
Korb m es Körbe|basket +goods; Leiter f 0 Leitern|ladder +goods
@thing repair
Schloss n es Schlösser|lock +broken; Hahn m s Hähne|tap +tap
Wasserhahn m s Wasserhähne|tap +tap; Dach n es Dächer|roof +painted
Heizung f 0 Heizungen|heating +only heat; Aufzug m s Aufzüge|lift
@thing bulb
Birne f 0 Birnen|light bulb; Glühbirne f 0 Glühbirnen|light bulb +goods
@thing device repair goods own
Lampe f 0 Lampen|lamp +stood furniture; Fernseher m s Fernseher|television +stood
Radio n s Radios|radio +stood; Computer m s Computer|computer +stood
Waschmaschine f 0 Waschmaschinen|washing machine; Wecker m s Wecker|alarm clock +stood
@thing small goods own
Handy n s Handys|mobile phone +laid repair gift; Schlüssel m s Schlüssel|key +laid
Regenschirm m s Regenschirme|umbrella +laid gift; Fahrkarte f 0 Fahrkarten|ticket +laid
Geldbeutel m s Geldbeutel|wallet +laid gift; Handschuh m s Handschuhe|glove +laid
Hausschlüssel m s Hausschlüssel|house key +laid; Kugelschreiber m s Kugelschreiber|pen +laid
Ball m s Bälle|ball +gift ball; Puppe f 0 Puppen|doll +gift; Bleistift m s Bleistifte|pencil +laid
@thing laid goods own
Messer n s Messer|knife/knives +knife; Gabel f 0 Gabeln|fork; Löffel m s Löffel|spoon
Decke f 0 Decken|blanket +washed; Kissen n s Kissen|cushion; Handtuch n s Handtücher|towel +washed
Blatt n es Blätter|sheet of paper/sheets of paper +sheet
@thing stood goods
Glas n es Gläser|glass/glasses +washed
Tasse f 0 Tassen|cup +washed; Teller m s Teller|plate +washed
Vase f 0 Vasen|vase +gift; Flasche f 0 Flaschen|bottle +openable; Topf m es Töpfe|pot +washed
Schüssel f 0 Schüsseln|bowl +washed; Strauß m es Sträuße|bouquet +gift
Blumenstrauß m es Blumensträuße|bunch of flowers/bunches of flowers +gift
@thing hung goods gift
Bild n es Bilder|picture +drawn; Spiegel m s Spiegel|mirror
Kalender m s Kalender|calendar; Landkarte f 0 Landkarten|map
@thing hung
Uhr f 0 Uhren|clock
@thing furniture goods
Tisch m es Tische|table +onto under table; Stuhl m s Stühle|chair +seat stood painted
Sofa n s Sofas|sofa +seat; Bett n es Betten|bed +onto under; Schrank m s Schränke|cupboard +inside
Regal n s Regale|shelf/shelves +onto shelf; Sessel m s Sessel|armchair +seat
Schreibtisch m es Schreibtische|desk +onto under table; Teppich m s Teppiche|carpet +onto
Kühlschrank m s Kühlschränke|fridge +inside cold
Küchentisch m s Küchentische|kitchen table +onto table
Kleiderschrank m s Kleiderschränke|wardrobe +wardrobe inside
@thing
Bank f 0 Bänke|bench/benches +seat painted outdoor; Wand f 0 Wände|wall +painted wall
Decke f 0 Decken|ceiling +painted; Zaun m s Zäune|fence +painted outdoor fence
@vehicle thing own repair
Auto n s Autos|car +washed driven; Fahrrad n s Fahrräder|bicycle +driven
Motorrad n s Motorräder|motorcycle +driven
@vehicle public
Bus m ses Busse|bus/buses; Zug m es Züge|train; Straßenbahn f 0 Straßenbahnen|tram
Schiff n es Schiffe|ship; Taxi n s Taxis|taxi
@plant
Baum m es Bäume|tree +tree; Apfelbaum m s Apfelbäume|apple tree +tree; Rose f 0 Rosen|rose +flower
Blume f 0 Blumen|flower +flower; Sonnenblume f 0 Sonnenblumen|sunflower +flower
Kirschbaum m s Kirschbäume|cherry tree +tree
@building built
Haus n es Häuser|house +home; Brücke f 0 Brücken|bridge; Turm m s Türme|tower
Schloss n es Schlösser|castle +sight; Kirche f 0 Kirchen|church +sight
Museum n s Museen|museum +sight leadable; Krankenhaus n es Krankenhäuser|hospital
Leuchtturm m s Leuchttürme|lighthouse +sight; Schule f 0 Schulen|school +leadable
Hotel n s Hotels|hotel +leadable
Rathaus n es Rathäuser|town hall +sight; Spielplatz m es Spielplätze|playground
@building
Wohnung f 0 Wohnungen|flat +home; Bank f 0 Banken|bank; Bahnhof m s Bahnhöfe|station
Dorf n es Dörfer|village +sight; Stadt f 0 Städte|town +sight; Laden m s Läden|shop
@room
Zimmer n s Zimmer|room; Küche f 0 Küchen|kitchen; Wohnzimmer n s Wohnzimmer|living room
Badezimmer n s Badezimmer|bathroom; Schlafzimmer n s Schlafzimmer|bedroom
Kinderzimmer n s Kinderzimmer|children's room; Keller m s Keller|basement
@instrument goods own
Klavier n s Klaviere|piano; Geige f 0 Geigen|violin; Gitarre f 0 Gitarren|guitar
Flöte f 0 Flöten|flute; Trommel f 0 Trommeln|drum; Flügel m s Flügel|grand piano
@show
Film m s Filme|film
Theaterstück n s Theaterstücke|play; Fußballspiel n s Fußballspiele|football match
Konzert n s Konzerte|concert
@song
Lied n es Lieder|song; Volkslied n s Volkslieder|folk song
@task
Frage f 0 Fragen|question +asked; Aufgabe f 0 Aufgaben|task; Satz m es Sätze|sentence
Regel f 0 Regeln|rule; Wort n es Wörter|word
@exam
Prüfung f 0 Prüfungen|exam; Test m s Tests|test
"""


def _noun(line: str, tags: frozenset[str]) -> Noun:
    german, _, rest = line.partition("|")
    english, _, extra = rest.partition("+")
    lemma, gender, genitive, plural = german.split()
    singular, slash, given = english.strip().partition("/")
    weak = genitive == "W"
    marks = frozenset(extra.split())
    ending = "" if genitive in ("0", "W") else genitive
    return Noun(
        de=lemma,
        gender=gender,
        genitive=lemma + ending,
        de_plural=plural,
        en=singular,
        en_plural=given if slash else singular if "pt" in marks else plural_of(singular),
        tags=tags | marks,
        weak=weak,
    )


@cache
def nouns() -> tuple[Noun, ...]:
    """Every noun of the table, in its order."""
    found: list[Noun] = []
    tags: frozenset[str] = frozenset()
    for line in TABLE.strip().splitlines():
        if line.startswith("@"):
            tags = frozenset(line[1:].split())
            continue
        found += [_noun(item.strip(), tags) for item in line.split(";")]
    return tuple(found)


@cache
def tagged(tags: str) -> tuple[Noun, ...]:
    """The nouns with at least one of the comma-separated tags; "a&b" asks for both."""
    wanted = [frozenset(part.split("&")) for part in tags.split(",")]
    return tuple(noun for noun in nouns() if any(part <= noun.tags for part in wanted))


@cache
def noun_called(german: str, english: str = "") -> Noun:
    """The noun with this German lemma (and English lemma, where two share the German one)."""
    for noun in nouns():
        if noun.de == german and english in ("", noun.en):
            return noun
    raise LookupError(f"Expected a noun of the table, found {german!r}. Add it to TABLE.")
