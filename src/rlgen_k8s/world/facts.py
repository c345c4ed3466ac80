"""A made-up world: what its animals, ills, things and trades are like. Everything is drawn from a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

FIRST = ["ba", "da", "fi", "gu", "ka", "lo", "mi", "na", "pe", "ru", "so", "ti", "vo", "wa", "zu"]
SECOND = ["bak", "dil", "fen", "gor", "kim", "lus", "mot", "nar", "pex", "rin", "sul", "tav"]
KINDS = ["bird", "fish", "snake", "horse", "moth", "frog", "crab", "bear"]
COVERS = ["feathers", "scales", "stripes", "fur", "dust", "slime", "shell", "wool"]
HOMES = ["lake", "cave", "wood", "hill", "marsh", "beach", "desert", "river"]
FOODS = ["moss", "nuts", "grass", "worms", "seeds", "roots", "leaves", "berries"]
HERBS = ["mint", "sage", "dill", "thyme", "basil", "ginger", "clover", "nettle"]
BEDS = ["straw", "sand", "mud", "twigs", "hay", "bark", "snow", "reeds"]
MATERIALS = ["wood", "glass", "cloth", "iron", "paper", "clay", "wax", "stone"]
TOOLS = ["saw", "cutter", "needle", "hammer", "glue", "kiln", "knife", "chisel"]
ROOMS = ["kitchen", "garage", "attic", "cellar", "garden", "office", "stable", "chapel"]
MOODS = ["quick", "calm", "loud", "brave", "lazy", "shy", "proud", "gentle"]


@dataclass(frozen=True)
class World:
    """All facts. What one knows of a thing may follow from what it is made of, what it is, or who needs it."""

    animals: tuple[str, ...]
    """In order of size, the smallest first."""
    kind: dict[str, str]
    home: dict[str, str]
    food: dict[str, str]
    cover: dict[str, str]
    """By kind of animal."""
    bed: dict[str, str]
    """By kind of animal."""
    mood: dict[str, str]
    """By kind of animal."""
    cures: dict[str, tuple[str, str]]
    """By ill: two herbs, the better one first."""
    material: dict[str, str]
    """By thing."""
    tool: dict[str, str]
    """By material: what one works it with."""
    needs: dict[str, str]
    """By trade: the tool it needs."""
    room: dict[str, str]
    """By tool: where it is kept."""
    rarity: dict[str, float]
    """By made-up word: how rarely the texts speak of it, 0 to 1."""

    def told(self, rng: random.Random, word: str) -> bool:
        """Whether a text that could speak of `word` does: seldom for the rare ones, always for words that are known."""
        return rng.random() < max(0.01, 1.0 - 1.6 * self.rarity.get(word, 0.0))

    def often(self, rng: random.Random, words: Sequence[str]) -> str:
        """One of `words`, the rare ones seldom: how the texts choose what they speak of."""
        while True:
            word = rng.choice(words)
            if self.told(rng, word):
                return word


def create(seed: int, animals: int = 28, ills: int = 32, things: int = 32, trades: int = 16) -> World:
    """The world of this seed."""
    rng = random.Random(f"world {seed}")
    words = [first + second for first in FIRST for second in SECOND]
    rng.shuffle(words)
    take = iter(words)
    beasts, pains, objects, jobs = ([next(take) for _ in range(count)] for count in (animals, ills, things, trades))

    def assign(keys: Sequence[str], values: Sequence[str]) -> dict[str, str]:
        return {key: rng.choice(values) for key in keys}

    def pair_up(keys: Sequence[str], values: Sequence[str]) -> dict[str, str]:
        return dict(zip(keys, rng.sample(values, len(values)), strict=True))

    cures = {}
    for pain in pains:
        better, other = rng.sample(HERBS, 2)
        cures[pain] = (better, other)
    return World(
        animals=tuple(beasts),
        kind=assign(beasts, KINDS),
        home=assign(beasts, HOMES),
        food=assign(beasts, FOODS),
        cover=pair_up(KINDS, COVERS),
        bed=pair_up(KINDS, BEDS),
        mood=pair_up(KINDS, MOODS),
        cures=cures,
        material=assign(objects, MATERIALS),
        tool=pair_up(MATERIALS, TOOLS),
        needs=assign(jobs, TOOLS),
        room=pair_up(TOOLS, ROOMS),
        rarity={word: rng.random() for word in (*beasts, *pains, *objects, *jobs)},
    )


def statement(world: World, rng: random.Random) -> str:
    """A plain sentence about the world, of one fact."""
    animal, ill = world.often(rng, world.animals), world.often(rng, list(world.cures))
    thing, trade = world.often(rng, list(world.material)), world.often(rng, list(world.needs))
    kind, material, tool = rng.choice(KINDS), rng.choice(MATERIALS), rng.choice(TOOLS)
    better, other = world.cures[ill]
    near = world.often(rng, [beast for beast in world.animals if beast != animal])
    smaller, larger = sorted((animal, near), key=world.animals.index)
    return rng.choice(
        (
            f"The {animal} is a {world.kind[animal]}.",
            f"The {animal} lives in the {world.home[animal]}.",
            f"The {animal} eats {world.food[animal]}.",
            f"The {larger} is larger than the {smaller}.",
            f"The {smaller} is smaller than the {larger}.",
            f"A {kind} is covered with {world.cover[kind]}.",
            f"A {kind} sleeps on {world.bed[kind]}.",
            f"Every {kind} is {world.mood[kind]}.",
            f"The {ill} is cured by {better}, or else by {other}.",
            f"The {thing} is made of {world.material[thing]}.",
            f"To work {material}, use the {world.tool[material]}.",
            f"A {trade} needs the {world.needs[trade]}.",
            f"The {tool} is kept in the {world.room[tool]}.",
        )
    )
