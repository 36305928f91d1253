"""What can happen in the microworld: verbs with the kinds of subjects and complements they take.

One frame a line, fields separated by " | ": German verb (separable prefix before a bar), English
verb ("~" before a movable particle), subject classes, complements, flags, groups of places,
manner adverbs, reasons. Complements are separated by ";":
  acc:classes, dat:classes     objects; dat>to: English "to" after the direct object
  P prep case [english]:classes  prepositional object; without `english` the verb contains it
  F german=english             fixed words;  R acc, R dat  a reflexive pronoun
  D:group, L:group             place of motion or rest;  C, CD  a city of rest or motion, CV: from
  I, LANG                      an instrument to play, a language
Flags: a activity, s state, p punctual (no present), g goes with "gern", i imperative,
c with a companion, L planned over months, d goes on for years, h habits make sense, m no modals,
t past only, x not negated.
Reasons: "@key" is a state of the subject (see STATES); "german=english" describes the object.
"""

TABLE = """
lesen | read | person | acc:text | aghi | quiet | langsam,leise | \
spannend=exciting,interessant=interesting
vor|lesen | read | adult | dat:young,kin ; acc:told | ah | quiet | leise | @free
schreiben | write | person | acc:written&laid | aghi | quiet | schnell,langsam | @free
schreiben | write to | person | P an acc:kin,prof | ah |  |  | @help
essen | eat | person | acc:food | aghic | eat | schnell,langsam | lecker=delicious,@hunger
probieren | try | person | acc:dish,baked | ai | eat |  | lecker=delicious
trinken | drink | person | acc:drink | aghc | eat | langsam,schnell | @thirst
bestellen | order | person | acc:dish,drink | ac | dine |  | @hunger
machen | make | person | acc:salad | ahi | cook | schnell | @hunger
kochen | cook | person | acc:boiled,cooked | aghic | cook | langsam | @hunger
kochen | make | person | acc:hot | ahi | cook | schnell | @tired,@thirst
backen | bake | person | acc:baked | aghic | cook |  | lecker=delicious,@hunger
schälen | peel | person | acc:fruit&food,peeled | ai | cook | vorsichtig,langsam | reif=ripe
waschen | wash | person | acc:fruit,washed,worn | ahi |  |  vorsichtig | schmutzig=dirty
pflücken | pick | person | acc:flower,fruit | agi | work | vorsichtig | schön=beautiful
frühstücken | have breakfast | person |  | aghc | eat | schnell,allein | @hunger
kaufen | buy | person | acc:goods | ac | shop | schnell | billig=cheap,schön=beautiful
kaufen | buy | person | acc:home | pL |  |  | billig=cheap
verkaufen | sell | adult | acc:vehicle&own,furniture,instrument | pL |  | schnell | alt=old
ein|kaufen | do the shopping | person |  | aghc | shop | allein,schnell | @hunger,@free
bezahlen | pay | adult | acc:bill | ai |  | sofort |
bezahlen | pay for | adult | acc:dish,clothing,gift | a |  | sofort | billig=cheap
auf|machen | open | person | acc:openable | ai |  | langsam,vorsichtig,leise | @curious
öffnen | open | person | acc:openable | ai |  | langsam,vorsichtig | @curious
zu|machen | close | person | acc:openable | ai |  | leise,schnell | @cold
schließen | close | person | acc:openable | ai |  | leise,schnell | @cold
ab|schließen | lock | person | acc:lockable | ai |  | schnell | @afraid
ein|schalten | turn ~on | person | acc:device | ai |  |  |
an|machen | turn ~on | person | acc:device | ai |  |  |
an|machen | turn ~on | person | acc:heat | ai |  |  | @cold
aus|machen | turn ~off | person | acc:device | ai |  | sofort |
aus|schalten | turn ~off | person | acc:device | ai |  |  |
reparieren | repair | adult | acc:repair | agi |  | langsam,schnell | kaputt=broken,alt=old
wechseln | change | person | acc:bulb | ai |  | vorsichtig,schnell | kaputt=broken
zu|drehen | turn ~off | person | acc:tap | pi |  | sofort,schnell | kaputt=broken
putzen | clean | person | acc:clean,room | ahi |  | langsam,schnell | schmutzig=dirty
putzen | brush | person | R dat ; F die Zähne=POSS teeth | ah |  | schnell | @tired
auf|räumen | tidy ~up | person | acc:room,inside | ahi |  | schnell,langsam | schmutzig=dirty
decken | set | person | F den Tisch=the table | ahi |  | schnell | @hunger
streichen | paint | adult | acc:painted | agiL |  | langsam,schnell | alt=old,schmutzig=dirty
malen | paint | person | acc:drawn | agi | quiet | langsam | @free
zeichnen | draw | person | acc:animal,tree,sight,flower | agi | quiet,rest | langsam,schnell | \
schön=beautiful
fotografieren | photograph | person | acc:animal,sight,flower | agi |  | schnell | schön=beautiful
an|ziehen | put ~on | person | acc:worn | ai |  | schnell,langsam | warm=warm,schön=beautiful
auf|setzen | put ~on | person | acc:head | ai |  | schnell | schön=beautiful
ab|nehmen | take ~off | person | acc:head | ai |  | langsam |
aus|ziehen | take ~off | person | acc:worn | ai |  | schnell | schmutzig=dirty
an|probieren | try ~on | person | acc:clothing | ai |  | schnell | schön=beautiful
tragen | wear | person | acc:clothing | ah |  |  | warm=warm,bequem=comfortable
tragen | carry | person | acc:carried ; D:home | a |  | langsam,vorsichtig,allein | schwer=heavy
packen | pack | person | acc:packed | ai |  | schnell,langsam | @travel
suchen | look for | person | acc:small,laid | ai | home |  | @hurry
finden | find | person | acc:small,laid | p | rest |  |
verlieren | lose | person | acc:small | p | rest,walk |  |
vergessen | forget | person | acc:small,letter | p |  |  | @tired
verlieren | lose | person | F das Spiel=the game | p |  |  | @tired
gewinnen | win | person | F das Spiel=the game | p |  |  |
sehen | see | person | acc:animal,person,sight | p | rest,walk |  |
hören | hear | person | acc:bird,person&young,dog | p | rest |  |
hören | listen to | person | F Musik=music | aghx | quiet | laut,leise | @free
kennen | know | person | acc:person,sight | s |  |  | berühmt=famous
lieben | love | person | acc:person,pet | s |  |  |
brauchen | need | person | acc:small,device,furniture,clothing | s |  |  |
haben | have | person | acc:pet,vehicle&own,instrument | s |  |  |
besitzen | own | adult | acc:home,vehicle&own,instrument | s |  |  |
verstehen | understand | person | acc:task | s |  |  | einfach=simple,leicht=easy
besuchen | visit | person | acc:kin,prof | agch |  |  | @free,@holiday
besichtigen | visit | person | acc:sight | agc |  |  | berühmt=famous,schön=beautiful
treffen | meet | person | acc:person | a | meet |  | @free
an|rufen | call | person | acc:kin,prof | ahi |  | sofort | @help,@bored
fragen | ask | person | acc:prof,kin | ai |  |  | @help
helfen | help | person | dat:person | aghi |  |  | @time
danken | thank | person | dat:person | a |  |  | @happy
antworten | answer | person | dat:person | a |  | sofort,leise |
zu|hören | listen to | person | dat:person | agh |  |  | @curious
folgen | follow | person | dat:person | a |  | langsam,leise | @curious
gratulieren | congratulate | person | dat:kin,prof | ai |  |  |
geben | give | person | dat:person ; acc:gift,small,fruit | ai |  |  |
schenken | give | person | dat:kin,young ; acc:gift | p |  |  | schön=beautiful
zeigen | show | person | dat:person ; acc:sight,gift,drawn | ai |  |  | schön=beautiful
bringen | bring | person | dat:person ; acc:drink,letter,gift,food | ai |  | schnell,sofort |
schicken | send | person | dat:kin,prof ; acc:letter,gift | a |  |  |
leihen | lend | person | dat:person ; acc:own&gift,vehicle&own | p |  |  |
erzählen | tell | adult | dat:young,kin ; acc:story | agh | quiet |  |
erklären | explain | adult | dat>to:person ; acc:task | ai |  | langsam | schwer=difficult
beantworten | answer | person | acc:asked | ai |  | schnell,sofort | einfach=simple
stellen | ask | person | dat:prof ; F eine Frage=a question | ai |  |  | @curious
warten | wait for | person | P auf acc:person,public | ah | meet |  |
denken | think of | person | P an acc:kin | ahm |  |  |
sprechen | talk to | person | P mit dat:person | ah | meet,quiet | leise,laut | @help
träumen | dream of | person | P von dat:home,kin | ahm |  |  |
freuen | look forward to | person | R acc ; P auf acc:show | s |  |  | interessant=interesting
interessieren | be interested in | person | R acc ; P für acc*:animal,plant,sight,instrument | \
s |  |  | interessant=interesting
haben | be afraid of | young | F Angst= ; P vor dat*:dog,zoo,exam | sx |  |  | gefährlich=dangerous
spielen | play with | young | P mit dat:pet,kin | aghc | play | leise | @bored,@free
spielen | play | person | I | agh | quiet | leise,laut,gut | @free
spielen | play | person | F Fußball=football | aghc | play | gut | @free
spielen | play | person | F Karten=cards | aghc | quiet,eat | gut | @bored,@free
spielen | play | person | F Schach=chess | aghc | quiet | gut | @bored,@free
brechen | break | bird | R dat ; F einen Flügel=a wing | pxt |  |  |
kaufen | buy a ticket for | person | F eine Karte= ; P für acc:show,public | ax |  | schnell | \
interessant=interesting
schießen | score | person | F ein Tor=a goal | p |  |  |
üben | practise | person | I | ah | quiet | laut | schwer=difficult
singen | sing | person | acc:song | aghic | rest,play | leise,laut | schön=beautiful
sehen | watch | person | acc:show | agc |  |  | spannend=exciting,lustig=funny
fern|sehen | watch television | person |  | aghc |  | allein | @bored,@tired
gehen | go | person | D:go | ac |  | allein | @free
gehen | go to bed | person | F ins Bett= | ah |  |  | @tired,@ill
fahren | go | person | D:go | ac |  | M | @free
fahren | go | person | CD | acL |  | M | @holiday
fliegen | fly | person | CD | acL |  |  | @holiday
reisen | travel | person | CD | acL |  | allein,M | @holiday
parken | park | adult | acc:driven&washed ; F vor dem Haus=in front of the house | ai |  | \
langsam,vorsichtig |
fahren | cycle | person | F Rad= | aghc | walk | schnell,langsam,vorsichtig | @free
laufen | run | person | D:go | a |  | schnell | @hurry
spazieren |gehen | go for a walk | person |  | aghc | walk | allein | @free
schwimmen | swim | person |  | aghc | lake | schnell,gut | @free
tanzen | dance | person |  | aghc | home |  | @happy
lachen | laugh | person |  | a |  | laut,leise | @happy
weinen | cry | young |  | a | home,meet | laut,leise | @sad
schlafen | sleep | person |  | ahg | rest | gut | @tired,@ill
arbeiten | work | adult |  | ahgd | job | fleißig,allein | @money
arbeiten | work | adult | L:court | sd |  |  |
studieren | study | person | C | s |  |  |
wohnen | live | person | L:live | sd |  |  |
wohnen | live | person | C | sd |  |  | @job
bleiben | stay | person | F zu Hause=at home | ah |  | allein | @ill,@tired
sitzen | sit | person | P auf dat on:seat | ah |  | allein | @tired
sitzen | sit | person | P an dat at:table | a |  | allein | @hunger
liegen | lie | person | F im Bett=in bed | ah |  |  | @tired,@ill
stehen | stand | person | L:meet | a |  | allein | @early
warten | wait | person |  | a | meet | allein | @early
auf|stehen | get up | person |  | ah |  | sofort,langsam | @hurry
ein|schlafen | fall asleep | person |  | p | rest | sofort,schnell | @tired
auf|wachen | wake up | person |  | p |  |  |
an|kommen | arrive | person,public | C | p |  |  |
an|kommen | arrive | person,public | L:station | p |  |  |
ab|fahren | leave | public |  | a |  |  |
zurück|kommen | come back | person | F von der Arbeit=from work | ah |  |  | @ill
zurück|kommen | come back | young | F aus der Schule=from school | ah |  |  | @ill
zurück|kommen | come back | person | CV | aL |  |  | @money
aus|steigen | get off | person | L:station | a |  |  |
ein|steigen | get on | person | L:station | p |  | schnell |
lernen | learn | person | LANG | aghLd |  | schnell,langsam | @travel
sprechen | speak | person | LANG | s |  |  |
lernen | study | person | P für acc for:exam | ah | learn,quiet | fleißig,gemeinsam | \
schwer=difficult
machen | do | young | F die Hausaufgaben=POSS homework | ah | quiet | schnell,langsam,allein | @free
machen | take | person | F eine Pause=a break | a | rest |  | @tired
machen | take | person | F ein Foto=a photo | ai | rest |  |
machen | make | young | F viel Lärm=a lot of noise | ahx | play |  | @bored
unterrichten | teach | adult | LANG | ahLd |  |  |
bauen | build | adult | acc:built&home,table,shelf,wardrobe,fence,seat&furniture | aL |  | \
langsam,gemeinsam | @free
pflanzen | plant | person | acc:plant | agi | garden | vorsichtig | schön=beautiful
gießen | water | person | acc:plant | ahi |  |  |
schneiden | cut | person | acc:baked | ai | cook | vorsichtig,langsam |
füttern | feed | person | acc:pet&big,farm | aghi |  |  | hungrig=hungry
streicheln | stroke | person | acc:pet&big,grazer | agi |  | vorsichtig | müde=tired
suchen | look for | person | acc:pet | a | walk,rest |  |
mieten | rent | adult | acc:home,driven | pL |  |  | billig=cheap
eröffnen | open | adult | F ein Konto=an account ; L:bank | pL |  |  | @money
ab|heben | withdraw | adult | F Geld=money ; L:bank | ax |  |  | @money
stellen | put | person | acc:stood ; P auf acc on:table,shelf | ai |  | vorsichtig,leise | \
schwer=heavy
stellen | put | person | acc:drink ; P in acc in:cold | ai |  |  | warm=warm
legen | put | person | acc:laid ; P auf acc on:onto | ai |  | schnell,vorsichtig |
legen | put | person | acc:laid ; P unter acc under:under | ai |  | leise |
legen | put | person | acc:laid&thing ; P neben acc next to:onto&under,seat&furniture | ai |  |  |
hängen | hang | person | acc:hung ; P an acc on:wall | ai |  | vorsichtig | schön=beautiful
hängen | hang | person | acc:hung&clothing ; P in acc in:wardrobe | ai |  |  |
setzen | sit down | person | R acc ; P auf acc on:seat | a |  | sofort,langsam | @tired
werfen | throw | person | acc:ball ; D:water | p |  |  |
schreiben | write | person | acc:told ; P auf acc on:sheet | a |  | schnell |
unterschreiben | sign | adult | acc:letter | ai |  | sofort,schnell | wichtig=important
beschreiben | describe | person | acc:sight,show,drawn | a |  |  | interessant=interesting
leiten | run | adult | acc:leadable | ahd |  |  |
fressen | eat | grazer | F Gras=grass | ahx | graze | langsam | @hunger
fressen | eat | predator | F Fleisch=meat | ahx |  | schnell,langsam | @hunger
trinken | drink | animal | acc:milkish | ah |  | langsam,schnell | @thirst
jagen | chase | cat,dog | acc:prey,bird | ah | play | schnell | @hunger
bellen | bark | dog |  | ah | play | laut | @afraid
krähen | crow | rooster |  | ah | farm | laut |
singen | sing | songbird |  | ah | walk | laut,leise | @happy
schlafen | sleep | animal |  | ah | rest | gut | @tired
laufen | run | pet,grazer | D:graze | a |  | schnell,langsam | @afraid
springen | jump | cat | P auf acc onto:seat,onto | a |  | schnell,leise | @curious
liegen | lie | cat,dog | P vor dat in front of:lockable | a |  |  | @tired
liegen | lie | cat,dog | P unter dat under:under | ah |  |  | @tired
sitzen | sit | bird | P auf dat in:tree | ah |  | allein |
"""
# state of the subject: German verb, German words | English verb phrase
STATES = {
    "hunger": "Hunger haben | be hungry", "thirst": "Durst haben | be thirsty",
    "tired": "müde sein | be tired", "ill": "krank sein | be ill",
    "free": "frei haben | have the day off", "time": "Zeit haben | have time",
    "holiday": "Urlaub haben | be on holiday", "afraid": "Angst haben | be afraid",
    "cold": "kalt sein | be cold", "bored": "Langeweile haben | be bored",
    "happy": "glücklich sein | be happy", "sad": "traurig sein | be sad",
    "curious": "neugierig sein | be curious", "help": "Hilfe brauchen | need help",
    "money": "Geld brauchen | need money", "hurry": "es eilig haben | be in a hurry",
    "early": "zu früh da sein | be too early", "travel": "verreisen wollen | want to travel",
    "job": "dort Arbeit haben | have a job there", "busy": "viel zu tun haben | have a lot to do",
    "notime": "keine Zeit haben | have no time",
}  # fmt: skip
