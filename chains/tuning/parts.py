"""Plugins' tools put together at random from `phrases/parts/`: a thing to make and some of its domain's arguments.

Unusual here: the tables of `phrases/plugins/` hold tools, which a model can learn by heart; these hold parts, and no
tool comes twice. What an argument means can only be read in the list. A thing whose line the dev split keeps
(`grammar.reserved`) never trains. Written so:

    ## kitchen
    thing: plan, put together ; dinner menu, menu ; Plan the menu of a dinner // Put together the courses of a meal
    > what are we having this evening?
    > - feed us tonight
    heat/spiciness: enum mild=mild/gentle|hot=hot/fiery|medium=a bit of a kick ; how hot ; * | make it * | heat *
    seasonal: bool =false ; only what is in season ; seasonal | only things that grow now ; seasons don't matter

A thing has verbs, nouns and descriptions, and requests that leave every argument open ("- " begins an imperative).
An argument has names, its kind and values with the ways to say each, a default, a description, and pieces of requests
that say it, "*" for the value; of a bool those for yes and those for no. In the domain `kinds` a choice is not named
but meant: by a member of the kind, a hint, a feeling ("a newt" for amphibian).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from chains.tuning import grammar
from chains.tuning.plugins import MEANT, Arg, Plugin, read_arg

_MEANT = 0.5  # of the lists have a tool of the domain whose choices are meant, not said; none has two


@dataclass(frozen=True)
class Thing:
    """What a tool makes: the verbs for it, its names, and whole requests that leave every argument open."""

    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    abouts: tuple[str, ...]
    frames: tuple[str, ...]
    dev: bool


@dataclass(frozen=True)
class Domain:
    """Things and arguments of which each fits each."""

    name: str
    things: tuple[Thing, ...]
    args: tuple[Arg, ...]


@cache
def domains() -> tuple[Domain, ...]:
    """All of them, in the order of their files' names."""
    return tuple(_domain(head, lines) for _, head, lines in grammar.tables("parts"))


def _domain(name: str, lines: list[str]) -> Domain:
    things: list[tuple[str, list[str]]] = []
    args = []
    for line in lines:
        key, _, rest = line.partition(": ")
        if line.startswith("> "):
            things[-1][1].append(line[2:])
        elif key == "thing":
            things.append((rest, []))
        else:
            args.append(read_arg(key, rest))
    return Domain(name, tuple(_thing(head, frames) for head, frames in things), tuple(args))


def _thing(head: str, frames: list[str]) -> Thing:
    verbs, nouns, abouts = head.split(" ; ")
    return Thing(
        tuple(verb.strip() for verb in verbs.split(",")),
        tuple(noun.strip() for noun in nouns.split(",")),
        tuple(about.strip() for about in abouts.split(" // ")),
        tuple(frames),
        grammar.reserved(head),
    )


def put_together(rng: Random, split: str, others: Sequence[Plugin] = ()) -> Plugin:
    """A tool, of another domain and for other things than the `others` if there is one."""
    taken = {plugin.domain for plugin in others}
    nouns = {noun for plugin in others for noun in plugin.nouns}
    dev = split == "dev"
    able = [(domain, thing) for domain in domains() for thing in domain.things if thing.dev == dev]
    free = [pair for pair in able if pair[0].name not in taken and nouns.isdisjoint(pair[1].nouns)]
    meant = rng.random() < _MEANT
    free = [pair for pair in free if (pair[0].name == MEANT) == meant] or free
    domain, thing = rng.choice(free or able)
    args = rng.sample(domain.args, rng.choice([1, 2, 3, 3, 4, 4, 5, 5, 6]))
    telling = [arg.id for arg in args if arg.kind != "bool"]
    must = rng.sample(telling, min(rng.choice([0, 1, 1, 1, 2]), len(telling)))
    args = [replace(arg, required=True, default="") if arg.id in must else arg for arg in args]
    verb, noun = rng.choice(thing.verbs), rng.choice(thing.nouns)
    names = (f"{verb} {noun}", noun, f"{noun} {rng.choice(['maker', 'planner', 'helper', 'tool', 'service'])}")
    return Plugin(
        tuple(name.replace(" ", "_").replace("-", "_").lower() for name in names),
        thing.abouts,
        domain.name,
        thing.nouns,
        {arg.id: arg for arg in args},
        (*thing.frames, *_plain_frames(thing, args)),
        "parts",
        thing.dev,
        from_parts=True,
    )


def _plain_frames(thing: Thing, args: list[Arg]) -> list[str]:
    """The usual ways to ask for a thing, among them those with one argument in front of it ("a vegan menu")."""
    frames = []
    for noun in thing.nouns:
        a = grammar.article(noun)
        for verb in thing.verbs:
            to_me = "" if " " in verb else f"|me {a}|us {a}"
            frames += [f"- {verb} [{a}{to_me}|the|my] {noun}", f"[can|could|would] you {verb} {a} {noun}?"]
        frames += [f"I [need|want|would like] [{a}|the|some] {noun}", f"[{a}|one|new|the|] {noun}[| please|, thanks]"]
        for arg in args:
            if arg.kind != "enum" or "*" not in arg.ways:
                continue
            if not any(" " in said for ways in arg.choices().values() for said in ways):
                frames += [f"- {verb} [our|some|] {{{arg.id}}} {noun}" for verb in thing.verbs]
                frames += [f"[one|I need some|] {{{arg.id}}} {noun}"]
    return frames
