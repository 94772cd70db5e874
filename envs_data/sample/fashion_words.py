"""Vocabulary of the synthetic clothes shop. Data only.

A line reads ``catalogue phrase: everyday wording | everyday wording``. Wordings fill the blanks of "for ..."
(fabric) and "with ..." (pattern); those of fits come before the type. Colours and sections have none: only earlier
purchases, in the shop's own words, show a shopper's taste in them.
"""

__all__ = ["COLOURS", "FABRICS", "FITS", "GROUPS", "LINES", "PATTERNS", "SECTIONS", "STYLES"]

# Garment groups: their product types, each with the fabric it is usually made of (after the slashes).
GROUPS = {
    "jersey basics": """
vest top: tank | sleeveless thing // cotton jersey
polo shirt: golf tee | collared tee // pique weave
hoodie: jumper for the gym | hooded thing // brushed fleece
bodysuit: leotard | one piece // stretch viscose
henley sweatshirt: warm up tee | lounge tee // brushed fleece
""",
    "knitwear": """
turtleneck sweater: roll neck | winter jumper // merino wool
cardigan: buttoned jumper | open jumper // merino wool
knitted waistcoat: sleeveless jumper | grandpa vest // cable knit
poncho: cape | blanket with a hole // cable knit
cable pullover: thick jumper | chunky jumper // cable knit
""",
    "shirts": """
oxford shirt: button up | office tee // cotton poplin
tunic blouse: long top | hippie top // stretch viscose
overshirt: light layer | shacket // cotton corduroy
kaftan: beach cover | robe // washed linen
resort shirt: vacation tee | hawaii tee // washed linen
""",
    "trousers": """
chino trousers: slacks | casual pants // cotton poplin
cargo trousers: pants with pockets | army pants // denim twill
leggings: stretch pants | running tights // cotton jersey
culottes: wide pants | flowing pants // washed linen
bermuda shorts: knee pants | half pants // denim twill
""",
    "dresses": """
pinafore dress: apron frock | school frock // cotton corduroy
slip dress: party frock | evening frock // silky satin
pleated skirt: swishy bottom | folded bottom // silky satin
skater skirt: twirly bottom | short bottom // pique weave
jumpsuit: overall | all in one // stretch viscose
""",
    "outerwear": """
puffer jacket: padded coat | winter coat // brushed fleece
trench coat: rain mac | detective mac // cotton poplin
bomber jacket: pilot coat | zip coat // silky satin
trucker jacket: cowboy coat | jeans coat // denim twill
blazer: suit top | smart coat // cotton corduroy
""",
}

FABRICS = """
cotton jersey: everyday | doing nothing
pique weave: tennis | sunday sport
brushed fleece: lazy evenings | the sofa
stretch viscose: dancing | moving freely
merino wool: cold days | the ski lodge
cable knit: the cabin | autumn walks
cotton poplin: work | an interview
washed linen: hot days | a heatwave
cotton corduroy: the library | seeing friends
denim twill: dirty jobs | the garage
silky satin: a wedding | going out
"""

SECTIONS = """
ladieswear
menswear
divided
kidswear
"""

COLOURS = """
dark blue
light beige
greenish khaki
dusty pink
eggshell white
jet black
deep burgundy
yellowish brown
pale turquoise
soft lavender
bright coral
ash grey
"""

PATTERNS = """
plain: one shade | nothing on it
striped: lines | zebra lines
checked: squares | boxes
floral: flowers | blossoms
dotted: spots | little circles
melange: mottled yarn | mixed yarn
printed: a picture | a slogan
"""

FITS = """
slim: tight | snug
relaxed: loose | roomy
oversized: baggy | huge
cropped: belly free | tiny
tailored: sharp | elegant
straight: simple | boxy
"""

# What the shop's buyers put together: section, colour, pattern, fit.
STYLES = """
ladieswear // light beige // plain // tailored
ladieswear // dusty pink // floral // slim
ladieswear // deep burgundy // dotted // straight
menswear // dark blue // striped // slim
menswear // yellowish brown // checked // relaxed
menswear // ash grey // melange // tailored
divided // jet black // printed // oversized
divided // soft lavender // dotted // cropped
divided // greenish khaki // plain // relaxed
kidswear // bright coral // printed // straight
kidswear // pale turquoise // striped // oversized
kidswear // eggshell white // floral // cropped
"""

# First words of product names, by section.
LINES = {
    "ladieswear": "ella freya linnea maja",
    "menswear": "oskar henrik viggo elias",
    "divided": "nova riot echo juno",
    "kidswear": "pip bubbles tuva milo",
}
