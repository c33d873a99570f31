"""A digest as short words, for two people who compare it by voice.

Each word is eight bits. They are told apart by ear: no two are closer than three letters, sound alike by rule, or begin
with the same three letters (tests/unit/test_words.py demands it).
"""

from __future__ import annotations

SPOKEN_BYTES = 10
"""So many bytes of a digest are spoken: 80 bits."""
_TEXT = """
abbey acorn album almond alpine amulet anchor angel ankle armor aspen atlas avenue badge bamboo banjo barrel basket
beacon beetle bench berry bishop blimp boxer brick bronze bubble butter cabin cactus camera canal cargo castle cedar
cement chapel cheese circus cliff clover cobalt coffee copper cosmos cotton coyote cradle crown dagger daisy denim
desert dinner donkey dragon driver drum dune earth easel echo elbow ember empire engine envoy escort fabric falcon
fathom fender ferret fiddle flag flute forest fossil funnel galaxy garden glass goblet grape guitar gypsum hammer
hawk helmet hippo hobby horse hotel indigo insect iris island ivory jaguar jelly jigsaw juice jungle kayak kidney
kimono kiwi koala ladder lagoon laptop lava legend lemon lizard locket lotus magnet marble meadow menu meteor mirror
mitten mosaic muffin museum nachos napkin nectar nephew nerve nest nickel ninja nomad noodle nugget nutmeg nylon
oasis ocean office olive onion onyx opera orange orbit orchid osprey oxygen oyster pagoda palace papaya parrot pasta
pencil petal piano pickle pigeon pillow pixel planet poem polar potato powder pulse puppet purple python quarry
quilt rabbit radish ransom raven razor rhino rhythm ribbon ripple rodeo ruby safari scarf sheep shield shrimp sierra
signal silver siren sketch skunk smile snail snow sofa sonnet sphinx spider splash sponge spruce squid stable sugar
sultan swan syrup teacup temple tennis tiara tiger tissue toast topaz torch toucan train trophy tulip tundra turkey
tuxedo twig ultra vacuum valley vault victor viking vinyl violin vortex voyage waffle walnut wasp weaver widow wolf
wombat yacht yogurt zebra zenith zigzag zinc zodiac
"""
WORDS = tuple(_TEXT.split())


def spoken(digest: bytes) -> str:
    """The first :data:`SPOKEN_BYTES` bytes of ``digest`` as words."""
    return " ".join(WORDS[byte] for byte in digest[:SPOKEN_BYTES])
