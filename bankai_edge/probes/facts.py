"""About a hundred facts of the nano model, each with eight phrasings (standard library only)."""

from __future__ import annotations

_CAPITALS = (
    "France:Paris Spain:Madrid Italy:Rome Germany:Berlin Austria:Vienna Poland:Warsaw "
    "Greece:Athens Norway:Oslo Sweden:Stockholm Finland:Helsinki Denmark:Copenhagen Ireland:Dublin "
    "Portugal:Lisbon Hungary:Budapest Czechia:Prague Belgium:Brussels Japan:Tokyo China:Beijing "
    "India:Delhi Egypt:Cairo Kenya:Nairobi Peru:Lima Chile:Santiago Cuba:Havana Canada:Ottawa "
    "Russia:Moscow Turkey:Ankara Iran:Tehran Iraq:Baghdad Thailand:Bangkok"
)
_SYMBOLS = (
    "hydrogen:H helium:He lithium:Li carbon:C nitrogen:N oxygen:O fluorine:F neon:Ne sodium:Na "
    "silicon:Si sulfur:S chlorine:Cl argon:Ar potassium:K calcium:Ca iron:Fe copper:Cu zinc:Zn "
    "silver:Ag tin:Sn gold:Au mercury:Hg lead:Pb uranium:U"
)
_OPPOSITES = (
    "hot:cold big:small fast:slow high:low open:closed full:empty hard:soft light:dark old:new "
    "wet:dry loud:quiet rich:poor strong:weak thick:thin wide:narrow early:late clean:dirty "
    "near:far deep:shallow sharp:blunt heavy:weightless true:false first:last happy:sad long:short"
)
_COLOURS = (
    "grass:green snow:white coal:black blood:red sky:blue lemon:yellow carrot:orange "
    "chocolate:brown plum:purple ash:grey rose:red milk:white banana:yellow spinach:green "
    "cherry:red salt:white straw:yellow ink:black tomato:red cucumber:green"
)

FACTS: tuple[tuple[str, str, str], ...] = tuple(
    (category, *pair.split(":"))  # type: ignore[misc]
    for category, table in (
        ("capital", _CAPITALS),
        ("symbol", _SYMBOLS),
        ("opposite", _OPPOSITES),
        ("colour", _COLOURS),
    )
    for pair in table.split()
)
"""(category, subject, answer)."""

FACT_PHRASINGS: dict[str, tuple[str, ...]] = {
    "capital": (
        "capital of {x}?", "what is the capital of {x}?", "{x} capital:", "the capital of {x} is",
        "name the capital of {x}", "{x} has which capital?", "which city is the capital of {x}?",
        "tell me the capital of {x}",
    ),
    "symbol": (
        "symbol of {x}?", "what is the symbol of {x}?", "{x} symbol:", "the symbol of {x} is",
        "name the symbol of {x}", "{x} has which symbol?", "which symbol is the symbol of {x}?",
        "tell me the symbol of {x}",
    ),
    "opposite": (
        "opposite of {x}?", "what is the opposite of {x}?", "{x} opposite:",
        "the opposite of {x} is", "name the opposite of {x}", "{x} has which opposite?",
        "which word is the opposite of {x}?",
        "tell me the opposite of {x}",
    ),
    "colour": (
        "colour of {x}?", "what is the colour of {x}?", "{x} colour:", "the colour of {x} is",
        "name the colour of {x}", "{x} has which colour?", "which colour is the colour of {x}?",
        "tell me the colour of {x}",
    ),
}  # fmt: skip
"""Eight phrasings per category; `{x}` is the subject."""
