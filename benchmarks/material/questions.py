"""Questions a person might ask, and what they are about."""

from __future__ import annotations

KINDS_SEEN = (
    ("animals/birds", "a bird"), ("animals/fish", "a fish"), ("images/fishes", "a fish"), ("animals/insects", "an insect"),
    ("mammals/dogs/d", "a dog"), ("cats/lion", "a big cat"), ("cats/tiger", "a big cat"), ("food/fruit", "fruit"),
    ("food/vegetables", "a vegetable"), ("hobbies/music", "a musical instrument"), ("household/tools", "a tool"),
    ("categorization/resource/images/tools", "a tool"), ("plants/flowers", "a flower"), ("plants/mushrooms", "a mushroom"),
    ("clothes/hats", "a hat"), ("vehicles/auto", "a car"), ("stamps/animals", "an animal"), ("erase/resource", "an animal"),
    ("explore_world_animals", "an animal"), ("images/fishes", "an animal"), ("stamps/food", "food"),
    ("explore_monuments", "a building"), ("images/monuments", "a building"), ("stamps/vehicles", "a vehicle"),
    ("mammals/apes", "a monkey"), ("erase/resource/kitten", "a cat"), ("blackcat", "a cat"),
)  # fmt: skip
"""Part of a path in the material, and the question that every picture below it answers."""

KINDS_HEARD = (
    ("animals/birds", "a bird"), ("stamps/animals", "an animal"), ("explore_farm_animals", "an animal"),
    ("hobbies/music", "music"), ("instruments/resource", "music"), ("hobbies/music", "a musical instrument"),
    ("instruments/resource", "a musical instrument"), ("hobbies/music/percussion", "percussion"),
    ("drum", "percussion"), ("cymbal", "percussion"), ("tambourine", "percussion"), ("loop_", "percussion"),
    ("mammals/dogs/dog", "a dog"), ("LRBark", "a dog"), ("farm_animals/resource/animals/dog", "a dog"),
    ("_desc", "someone speaking"), ("LRTrain", "a train"), ("railroad", "a train"), ("Engine1", "an engine"),
    ("string/", "a string instrument"), ("violin", "a string instrument"), ("cello", "a string instrument"),
    ("guitar", "a guitar"), ("guit_", "a guitar"), ("bell", "a bell"), ("LRRing", "a bell"),
)  # fmt: skip

HEARD = (
    ("speech", "someone speaking"), ("a man talking", "someone speaking"), ("people talking", "someone speaking"),
    ("a voice", "someone speaking"), ("a person speaking", "someone speaking"), ("somebody talks", "someone speaking"),
    ("dog barking", "a dog"), ("a barking dog", "a dog"), ("bird song", "a bird"), ("birds singing", "a bird"),
    ("a melody", "music"), ("somebody playing music", "music"), ("drums", "percussion"), ("drumming", "percussion"),
    ("strings", "a string instrument"), ("an orchestra instrument", "a musical instrument"),
    ("an animal sound", "an animal"), ("a railway train", "a train"), ("ringing bells", "a bell"),
    ("a motor running", "an engine"), ("guitar music", "a guitar"), ("an acoustic guitar", "a guitar"),
)  # fmt: skip
"""Other words for some of what can be heard."""

SEEN_FORMS = (
    "a picture of a {}", "the {}", "{} in the picture", "{} outside", "a big {}", "someone with a {}", "{}", "two {}s",
    "a small {} on a table", "a {} in the grass", "where is the {}", "a photo of a {}", "a white {}", "a {} at night",
)  # fmt: skip
HEARD_FORMS = (
    "the sound of {}", "{}", "a loud {}", "{} in the distance", "hearing {}", "{} outside", "the noise of {}", "{} sound",
)  # fmt: skip

ABSENT_SEEN = (
    "a helicopter", "a volcano", "a lighthouse", "a school bus", "a laptop", "a television", "a bicycle", "a snake",
    "a sailboat", "a suspension bridge", "a steam locomotive", "a typewriter", "a jellyfish", "a microphone",
    "an umbrella", "a traffic light", "a hot dog", "a cheeseburger", "an ambulance", "a swing", "a stove", "a bookcase",
    "a desk", "a crib", "a mountain bike", "a barn", "a tractor", "a racing car", "an airplane", "a ship", "a train",
    "a computer keyboard", "a wall clock", "a washing machine", "a refrigerator", "a sofa", "a bed", "a piano", "a harp",
    "a beach", "a snowy mountain", "a cup of coffee", "a bottle of wine", "a loaf of bread", "a wedding dress",
    "a soccer player", "a rocket", "a parachute", "a sewing machine", "a vacuum cleaner", "a hair dryer", "sunglasses",
)  # fmt: skip
ABSENT_HEARD = (
    "a siren", "glass breaking", "thunder", "a chainsaw", "gunshots", "a baby crying", "laughter", "typing on a keyboard",
    "wind", "ocean waves", "church bells", "a motorcycle", "an airplane", "water running", "an alarm clock",
    "a car horn", "snoring", "coughing", "sneezing", "a crowd cheering", "a lawn mower", "a ticking clock", "crickets",
    "a police car", "a smoke alarm", "a child shouting", "whistling", "a printer", "frying food", "a drill",
    "a sewing machine", "a boat engine", "a stream", "a thunderstorm", "a fire crackling", "an air conditioner",
    "a blender", "a hair dryer", "heavy breathing", "a choir of monks", "a busy signal", "a microwave oven",
    "a race car", "a tractor", "screaming", "whispering", "a wolf howling", "a snake hissing", "skateboarding",
)  # fmt: skip
"""Nameable, and nothing of it in the material."""

OUTSIDE = (
    "the smell of lavender", "quarterly tax report", "my grandmother's wedding", "xyzzy flurb", "asdfgh", "qwertyuiop",
    "lorem ipsum dolor sit amet", "democracy", "the meaning of life", "a philosophical argument", "inflation rate",
    "my password", "the taste of salt", "next tuesday", "a feeling of nostalgia", "gravitational waves",
    "the french revolution", "a software bug", "zzzz", "blorptang wibble", "fnord", "hjkl yuio", "mortgage interest",
    "a job interview", "general relativity", "the stock market", "a legal contract", "jealousy", "a promise",
    "the number seventeen", "kubernetes cluster", "an unpaid invoice", "a headache", "moral philosophy",
    "the internet", "climate policy", "a marriage proposal", "grandfather's birthday", "vflkjw qoieur", "foo bar baz",
    "xqz", "tomorrow morning", "the colour of sadness", "prime minister election", "a database migration",
    "customer satisfaction", "the smell of coffee", "warm temperature", "loneliness", "an old memory", "sdkfj",
    "the law of thermodynamics", "tax return", "wedding anniversary", "homework assignment", "a birthday wish",
    "radioactive decay", "uiop", "annual meeting minutes", "the reason why", "a bad idea", "a compromise",
    "a rumour", "insurance premium", "the speed of light", "my first day at school", "a good mood", "probability theory",
    "wkjhe wlkje", "plmokn", "the year 1984", "an apology", "human rights", "the smell of rain", "a sweet taste",
    "being late for work", "quantum chromodynamics", "a secret", "exchange rates", "the difference between them",
)  # fmt: skip
"""What neither encoder can name: abstractions, smells, nonsense."""
