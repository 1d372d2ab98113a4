"""The tool list that a group of examples shares: ours, whole or in part, disguised, among the tools of other apps."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from random import Random
from typing import Any

from chains.schemas import TASKS, describe
from chains.tuning import grammar
from chains.tuning.grammar import synonyms, words
from chains.tuning.invented import invented_tools

PLAIN = {"notes": "all", "disguise": False, "slim": False, "jitter": False, "pictures": True}  # a list as it stands
SERVED = (
    "generate_image",
    "morph_images",
    "vary_image",
    "write_text",
    "fill_blanks",
    "write_code",
    "invent_names",
    "about",
)
NAME_KINDS = (
    ["surname", "female", "male"],
    ["surname", "female first", "male first"],
    ["surname", "first"],
    ["last", "first"],
    ["surname", "girl", "boy"],
    ["elf", "dwarf"],
    ["town", "street", "surname"],
    ["female", "male"],
    ["surname"],
)
STYLES = (
    ["scripture"],
    ["scripture"],
    ["scripture", "shakespeare"],
    ["shakespeare", "austen", "news"],
    ["fairy tale", "sonnet"],
    ["recipe", "legal", "scripture"],
    ["haiku", "sermon", "gothic"],
)

# Requests of one cluster could pass for another's, so none of them counts as unserved while another is in the list.
CLUSTERS = (
    {"set_timer", "set_alarm", "create_reminder", "add_event", "list_events", "take_note", "days_until"},
    {"send_email", "send_message", "make_call", "post_tweet"},
    {"order_status", "track_parcel", "cancel_order"},
    {"run_query", "count_rows", "get_definition_of_done"},
    {"find_restaurant", "book_table", "get_recipe", "find_hotel"},
    {"find_flights", "train_times", "route_distance", "book_taxi"},
    {
        "search_web",
        "get_news",
        "define_word",
        "movie_info",
        "sports_score",
        "open_page",
        "translate",
        "current_time",
        "get_weather",
    },
    {"calculate", "convert_units", "convert_currency", "random_number", "roll_dice", "flip_coin"},
    {"read_file", "summarize", "delete_file", "zip_folder", "resize_photo", "spell_check"},
    {"light_switch", "set_color", "set_thermostat", "open_blinds", "lock_door", "vacuum", "set_volume"},
    {"play_song", "play_podcast", "compose_music"},
    {"stock_price", "buy_shares", "pay_bill", "account_balance"},
    {"write_text", "fill_blanks", "write_code"},
    {"make_video", "morph_images"},
    {"vary_image", "complete_image"},
    {"restart_server", "ping"},
    {"take_note", "log_workout", "log_weight"},
    {"create_ticket", "assign_ticket"},
    {"about", "train_model"},
    {"set_language", "translate", "spell_check"},
    {
        "generate_image",
        "complete_image",
        "make_sprite",
        "make_tiles",
        "make_logo",
        "make_font",
        "make_maze",
        "make_planet",
    },
    {"generate_image", "make_chart", "make_qr", "star_map", "knitting_pattern", "make_dungeon", "make_palette"},
    {"write_text", "make_riddle", "make_emoji_story", "make_potion", "make_crossword"},
    {"compose_music", "make_sound", "make_jingle", "bird_call", "play_song"},
    {"search_web", "museum_hours", "plant_care", "library_search", "movie_info", "star_map"},
    {"get_recipe", "find_restaurant", "plan_menu"},
    {"make_workout", "log_workout"},
    {"read_file", "summarize", "make_chart", "open_page", "make_qr"},
    {"invent_names", "make_logo", "make_planet", "make_potion"},
)


@dataclass
class ShownTool:
    """A tool of the list."""

    task: str  # its name in our tables
    shown: dict[str, Any]  # as the prompt shows it
    known: dict[str, list[str]]
    renamed: dict[str, str]  # argument -> shown name
    schema: dict[str, Any]  # before renaming
    generic: Any = None  # a `chains.tuning.generic.GenericTool` where the tool was composed at random
    plugin: Any = None  # a `chains.tuning.plugins.PluginTool` where it is one of those
    lookup: Any = None  # a `chains.tuning.lookups.Lookup` or a `chains.tuning.records.RecordTool` where it is one


def pick_tools(rng: Random) -> list[ShownTool]:
    """The app's own list as most people have it, in parts, in full, among other apps' tools, or those alone."""
    luck = rng.random()
    ours = [task for task in TASKS if task not in SERVED]
    others = list(invented_tools())
    if luck < 0.16:
        return default_tools()
    if luck < 0.28:
        tasks = list(SERVED)
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            tasks.remove(rng.choice(tasks))
    elif luck < 0.62:
        tasks = [task for task in TASKS if task not in rng.sample(list(TASKS), rng.choice([0, 0, 1, 2, 3, 4]))]
    elif luck < 0.84:
        tasks = rng.sample(SERVED, rng.randint(2, 5)) + rng.sample(ours, rng.choice([0, 0, 1, 2, 3]))
        tasks = [task for task in TASKS if task in tasks] + rng.sample(others, rng.randint(1, 3))
    elif luck < 0.92:
        tasks = (
            rng.sample(SERVED, rng.randint(0, 3))
            + rng.sample(ours, rng.randint(1, 4))
            + rng.sample(others, rng.randint(0, 3))
        )
    else:
        tasks = rng.sample(others, rng.randint(1, 8)) + rng.sample(list(SERVED), rng.choice([0, 0, 1]))
    if rng.random() < 0.6:
        rng.shuffle(tasks)
    known = pick_known(rng)
    style = {
        "notes": rng.choice(["all", "all", "all", "some", "none"]),
        "disguise": rng.random() < 0.2,
        "slim": rng.random() < 0.3,
        "jitter": rng.random() < 0.15,
        "pictures": "generate_image" in tasks,
    }
    return [show(task, known, style, rng) for task in tasks]


def default_tools() -> list[ShownTool]:
    """The list that the app shows with the models that it brings."""
    known = {
        "subject": [*synonyms("labels digits"), *(label.partition("/")[0] for label in synonyms("labels fashion"))],
        "style": ["austen", "scripture"],
        "kind": ["surname", "female", "male"],
    }
    fits = {"generate_image": ("subject",), "write_text": ("style",), "invent_names": ("kind",)}
    tools = []
    for task in TASKS:
        if task in SERVED:
            mine = {name: known[name] for name in fits.get(task, ())}
            schema = describe(task, mine)
            if task == "morph_images":
                mine["subject"] = known["subject"]
            tools.append(ShownTool(task, schema, mine, {}, copy.deepcopy(schema)))
    return tools


def pick_known(rng: Random) -> dict[str, list[str]]:
    """What the installed models are said to know; one draw for the whole list."""
    fashion = [label.partition("/")[0] for label in synonyms("labels fashion")]
    mixed = [label.partition("/")[0] for label in synonyms("labels mixed")]
    digits = (
        list(synonyms("labels digits"))
        if rng.random() < 0.7
        else [others[0].partition("/")[0] for others in synonyms("labels digits").values()]
    )
    luck = rng.random()
    if luck < 0.55:
        subjects = (
            [label.replace("-", " ") if label == "ankle-boot" else label for label in fashion]
            if rng.random() < 0.4
            else fashion
        )
    elif luck < 0.65:
        subjects = digits
    elif luck < 0.72:
        subjects = fashion + digits
    elif luck < 0.92:
        subjects = rng.sample(mixed, rng.randint(3, 12)) + (rng.sample(fashion, 3) if rng.random() < 0.3 else [])
    else:
        subjects = []
    if rng.random() < 0.3:
        subjects = rng.sample(subjects, len(subjects))
    known = {"subject": list(subjects)}
    if rng.random() < 0.7:
        known["style"] = list(rng.choice(STYLES))
    if rng.random() < 0.75:
        known["kind"] = list(rng.choice(NAME_KINDS))
    if rng.random() < 0.25:
        known["model"] = rng.sample([m for m in words("modelnames")], rng.randint(1, 3))
    return known


def show(task: str, known: dict[str, list[str]], style: dict[str, Any], rng: Random) -> ShownTool:
    """A tool as this group's prompt shows it."""
    if task not in TASKS:
        schema = copy.deepcopy(invented_tools()[task].schema())
        mine: dict[str, list[str]] = {}
    else:
        fits = {
            "generate_image": ("subject", "model"),
            "morph_images": ("model",),
            "write_text": ("style", "model"),
            "invent_names": ("kind", "model"),
        }
        mine = {name: known[name] for name in fits.get(task, ()) if known.get(name)}
        schema = copy.deepcopy(describe(task, mine))
        if task == "morph_images":  # its subjects are those of generate_image, said once or twice
            told = bool(known["subject"]) and rng.random() < 0.5
            if told:
                schema = copy.deepcopy(describe(task, {**mine, "start": known["subject"]}))
            if told or style["pictures"]:
                mine["subject"] = known["subject"]
    parameters: dict[str, Any] = schema["parameters"]
    fields: dict[str, Any] = parameters.get("properties") or {}
    if style["slim"] and task in TASKS:  # a tool of other apps may have nothing but optional arguments
        for name in [
            n
            for n in fields
            if n not in parameters.get("required", ()) and n not in ("image", "subject", "kind", "count")
        ]:
            if rng.random() < 0.5:
                del fields[name]
    for name, field in fields.items():
        drop = style["notes"] == "none" or (style["notes"] == "some" and rng.random() < 0.5)
        if drop and not mine.get(name) and name != "start":
            field.pop("description", None)
        if (
            style["jitter"]
            and isinstance(field.get("default"), int)
            and not isinstance(field["default"], bool)
            and rng.random() < 0.5
        ):
            field["default"] = rng.choice(
                [
                    v
                    for v in (1, 3, 4, 5, 10, 12, 50, 100)
                    if v <= field.get("maximum", 100) and v >= field.get("minimum", 0)
                ]
            )
    tool = ShownTool(task, schema, mine, {}, copy.deepcopy(schema))
    if style["disguise"] and task in TASKS:
        _disguise(tool, rng)
    return tool


def _disguise(tool: ShownTool, rng: Random) -> None:
    table = grammar.disguises()[tool.task]
    shown = tool.shown
    if rng.random() < 0.7:
        shown["name"] = rng.choice(table["names"])
    if rng.random() < 0.7:
        shown["description"] = rng.choice(table["descriptions"])
    taken = set(shown["parameters"]["properties"])
    for name, others in table["args"].items():
        choice = rng.choice(others)
        if name in taken and choice not in taken and rng.random() < 0.4:
            tool.renamed[name] = choice
            taken.add(choice)
    rename = tool.renamed
    parameters = shown["parameters"]
    parameters["properties"] = {rename.get(name, name): field for name, field in parameters["properties"].items()}
    parameters["required"] = [rename.get(name, name) for name in parameters.get("required", ())]
