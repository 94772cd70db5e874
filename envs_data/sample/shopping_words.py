"""Vocabulary of the synthetic department store. Data only.

A line reads ``catalogue phrase: everyday wording | everyday wording``. Each profile of a department has a use, and the
material, feature, colour and audience that usually belong to it. Wordings fill the blanks of "for ..." (use,
audience), "made of ..." (material) and "that must ..." (feature).
"""

from dataclasses import dataclass

__all__ = ["AUDIENCES", "BRANDS", "COLOURS", "DEPARTMENTS", "Department"]


@dataclass(frozen=True)
class Department:
    """A department of the shop.

    Attributes:
        name: Name in documents.
        audiences: Set of ``AUDIENCES`` of its documents.
        types: Product types, one a line; the first belongs to the first profile, and so on.
        profiles: ``use // material // feature // colour // audience``, one profile a line.
    """

    name: str
    audiences: str
    types: str
    profiles: str


BRANDS = (
    "norvik calder ostara belmor tessaly quillon rovani hartwell lumera sorrel drayton veloce maribel kestrel "
    "fenwick altura"
)

COLOURS = """
crimson: red | cherry
cobalt: blue | ocean
charcoal: grey | smoky
ivory: white | snowy
ebony: black | night
emerald: green | leafy
mustard: yellow | sunny
blush: pink | rosy
chestnut: brown | chocolate
lilac: purple | violet
teal: turquoise | lagoon
tangerine: orange | peachy
"""

AUDIENCES = {
    "wearers": """
womens: ladies | my wife
mens: guys | my husband
junior: kids | my son
unisex: anyone | either of us
""",
    "households": """
starter grade: beginners | first timers
expert grade: pros | serious people
senior friendly: grandma | old folks
family sized: all of us | a big crowd
""",
}

DEPARTMENTS = (
    Department(
        "footwear",
        "wearers",
        """
trail running shoe: sneakers | kicks
hiking boot: hill shoes | mountain footwear
penny loafer: slip ons | work shoes
slide sandal: flip flops | pool shoes
ankle bootie: short boots | low boots
""",
        """
distance training: jogging | long runs // engineered mesh: airy fabric | thin netting // energy return: bounce back | spring along // cobalt // mens
backcountry trekking: rough paths | mountain walks // ripstop nylon: tough cloth | stuff that never tears // water repellent: keep rain out | stay dry // crimson // unisex
boardroom dress: meetings | my job // calf leather: real hide | smooth hide // cushioned insole: feel soft | spare my heels // ebony // womens
coastal leisure: the seaside | holidays // moulded rubber: bendy plastic | wipeable plastic // rapid drying: get wet | survive the pool // tangerine // junior
winter commuting: snow | icy mornings // suede shearling: fluffy skin | fuzzy lining // thermal insulation: warm my toes | beat the cold // chestnut // womens
""",  # noqa: E501 - a table
    ),
    Department(
        "camping",
        "households",
        """
dome tent: shelter | canvas house
sleeping bag: bedroll | mummy sack
trekking pole: walking stick | hill cane
camp stove: gas burner | field cooker
headlamp: forehead torch | hat light
""",
        """
alpine expedition: high peaks | big climbs // carbon fibre: black composite | race car stuff // storm rated: stand gales | survive bad weather // crimson // expert grade
festival weekend: concerts | music parties // polyester taffeta: shiny fabric | cheap fabric // glow markings: shine at night | be easily seen // lilac // starter grade
lightweight backpacking: carrying far | solo hikes // titanium alloy: light metal | space metal // compact folding: pack small | fit anywhere // charcoal // expert grade
holiday campsite: kids trips | school vacation // cotton duck: thick cloth | old fashioned cloth // instant assembly: set up fast | need no manual // mustard // family sized
angling retreat: fishing | the riverbank // anodised aluminium: silver metal | cola can metal // corrosion resistant: never rust | live near salt // emerald // senior friendly
""",  # noqa: E501 - a table
    ),
    Department(
        "cookware",
        "households",
        """
saute pan: skillet | egg fryer
stock pot: soup kettle | big boiler
chef knife: slicer | sharp blade
carving board: chopping block | veggie plank
coffee grinder: bean mill | espresso crusher
""",
        """
weeknight dinner: quick meals | tired evenings // ceramic coating: slippery glaze | white glaze // dishwasher safe: clean itself | need no scrubbing // ivory // starter grade
professional catering: restaurants | wedding banquets // stainless steel: shiny metal | hospital metal // riveted handle: last forever | take abuse // charcoal // expert grade
pastry baking: cakes | cookies // borosilicate glass: clear stuff | see through stuff // measuring scale: show amounts | count grams // blush // family sized
garden barbecue: grilling | cookouts // cast iron: heavy metal | black metal // flame proof: sit over flames | take heat // ebony // expert grade
slow simmering: stews | lazy sundays // acacia wood: timber | tropical tree // silicone grip: stay cool | feel good in hand // mustard // senior friendly
""",  # noqa: E501 - a table
    ),
    Department(
        "furnishing",
        "households",
        """
duvet cover: quilt case | blanket sheet
floor lamp: standing light | tall light
accent armchair: comfy seat | reading seat
area rug: carpet | mat
blackout curtain: window drape | dark drape
""",
        """
guest bedroom: visitors | the spare room // percale cotton: crisp hotel cloth | cool cloth // hypoallergenic: stop sneezing | suit allergies // ivory // family sized
infant nursery: a baby | newborns // bamboo viscose: soft plant stuff | silky stuff // child safe: hurt nobody | have round corners // blush // starter grade
home study: desk work | homework // brushed brass: gold metal | warm metal // noise dampening: keep quiet | hush echoes // emerald // expert grade
formal lounge: the tv room | tea with friends // velvet pile: plush fabric | posh fabric // stain resistant: hide spills | forgive wine // teal // senior friendly
summer terrace: the balcony | our patio // woven rattan: basket stuff | wicker // fade resistant: like sunshine | keep their shade // mustard // family sized
""",  # noqa: E501 - a table
    ),
    Department(
        "luggage",
        "wearers",
        """
cabin trolley: carry on | wheelie case
laptop backpack: computer rucksack | notebook pack
weekender duffel: overnight sack | sports sack
crossbody bag: small purse | shoulder pouch
document briefcase: paper case | lawyer case
""",
        """
air travel: flights | the plane // polycarbonate shell: hard plastic | suitcase plastic // combination lock: stop thieves | need a code // teal // unisex
campus life: lectures | my college // ballistic nylon: strong fabric | army fabric // padded sleeve: protect screens | survive drops // cobalt // junior
fitness club: the gym | workouts // recycled polyester: old bottles | green fabric // ventilated pocket: let smells out | hold dirty shoes // tangerine // mens
gallery evening: dates | the theatre // saffiano leather: fancy hide | scratchy hide // magnetic closure: snap shut | close themselves // lilac // womens
client presentation: my boss | customers // waxed cotton: oily cloth | hunting cloth // modular divider: keep order | sort my things // chestnut // mens
""",  # noqa: E501 - a table
    ),
    Department(
        "fitness",
        "wearers",
        """
yoga mat: stretching pad | floor pad
adjustable dumbbell: hand weights | iron weights
resistance band: elastic strap | rubber loop
massage roller: back tube | muscle log
skipping rope: jump cord | boxer string
""",
        """
strength building: big muscles | getting strong // chromed steel: polished metal | mirror metal // knurled texture: never slip | hold tight // charcoal // mens
injury rehabilitation: sore knees | recovery // natural latex: tree gum | stretchy gum // graduated tension: start gentle | get harder // lilac // unisex
morning pilates: core moves | waking up // organic cork: bottle stopper stuff | bark // sweat resistant: handle sweaty palms | wipe off // blush // womens
hotel exercise: business trips | tiny rooms // closed cell foam: squishy stuff | spongy stuff // space saving: store flat | go under beds // teal // unisex
tournament preparation: contests | beating rivals // braided polymer: woven plastic | fishing line // ball bearing: spin fast | turn smoothly // crimson // junior
""",  # noqa: E501 - a table
    ),
)
