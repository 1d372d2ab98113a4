"""Values to copy: numbers, names in many scripts, code, ids, dates.

All are composed at random, so that copying is learnt and not recall.
"""

# The alphabets look ambiguous to a linter on purpose; they and the words stand in long rows, as in a table.
# ruff: noqa: E501, RUF001, SIM905

from __future__ import annotations

from random import Random
from typing import Any

from chains.tuning.copied_code import code_line, code_text
from chains.tuning.grammar import number, spelled, words

# Syllables and characters by script; a name is a few of them, so hardly any name comes twice.
_LATIN = (
    "a an ber ca da del e el fi ga gor ha hen i jo ka kel la len lu ma mi mon na nel no o or pa per ra ri ro "
    "sa sen si sta ta ti tor u va vel wen xi ya zo bri dra fle gra kri ple sla tro"
).split()
_ACCENTS = "é è ñ ö ü ä å ø ç ã í ó ú š ž č ł ą ę ğ ı ț ő ð ß".split()
_SYLLABLES = {
    "cyrillic": ["ан", "ва", "ге", "да", "дми", "ев", "жа", "зо", "ил", "ка", "ко", "ле", "ло", "ма", "ми", "на", "не", "ни", "ов", "ол", "па", "пе", "ра", "ри", "ро", "са", "се", "ста", "та", "ти", "то", "фё", "хо", "че", "ша", "ю", "я"],
    "greek": ["αν", "βα", "γε", "δη", "ελ", "ζω", "θα", "ιω", "κα", "κω", "λε", "λου", "μα", "μι", "νι", "ξε", "ος", "πα", "πε", "ρα", "σο", "στα", "τα", "της", "φι", "χρη", "ψα", "άς", "ίδη"],
    "hebrew": list("אבגדהוזחטיכלמנסעפצקרשת"),
    "arabic": list("ابتجحدرزسشصعفقكلمنهوي"),
    "devanagari": ["अ", "आ", "का", "कि", "कु", "ग", "जा", "डे", "ता", "दी", "न", "नी", "पा", "प्र", "बा", "म", "मी", "या", "रा", "रि", "ल", "वि", "शा", "स", "सी", "हा"],
    "thai": ["กา", "ขอ", "จัน", "ชัย", "ดา", "ทอง", "ธร", "นา", "บุญ", "ปร", "พร", "มา", "มี", "ยา", "รัต", "ลี", "วัน", "ศรี", "สม", "สุ", "อร"],
    "korean": list("강김나노다도라류마민박배백서성소손송수안양영예오우원유윤은이인임장재정조주지진차채철최태하한해현혜호홍희"),
    "chinese": list("安白北陈成春达东方飞冯高国海何红华黄江杰金静军李丽林刘龙梅明宁欧平青日山水孙唐天王文吴小晓新雪杨永雨张赵志中周子"),
    "hiragana": list("あいうえおかきくけこさしすせたちつてとなにのはひふまみむめもやゆよらりるれわん"),
    "katakana": list("アイウエオカキクコサシスタチツテトナニノハヒフマミムメモヤユヨラリルレワンー"),
    "kanji": list("田中山本佐藤鈴木高橋伊渡辺村林加吉井上松小野石川森池橋清水原美香里子健太一郎花恵真由紀"),
}  # fmt: skip
# Scripts that are given by their letters alone, as ranges of Unicode.
_LETTERS = {
    "armenian": (0x561, 0x586), "georgian": (0x10D0, 0x10F0), "bengali": (0x995, 0x9A8), "gurmukhi": (0xA15, 0xA28),
    "gujarati": (0xA95, 0xAA8), "telugu": (0xC15, 0xC28), "kannada": (0xC95, 0xCA8), "malayalam": (0xD15, 0xD28),
    "sinhala": (0xD9A, 0xDB1), "lao": (0xE99, 0xE9F), "burmese": (0x1000, 0x1020), "khmer": (0x1780, 0x17A2),
    "ethiopic": (0x1200, 0x1246), "tibetan": (0xF4F, 0xF5B),
}  # fmt: skip
_SYLLABLES |= {script: [chr(c) for c in range(low, high + 1)] for script, (low, high) in _LETTERS.items()}
_SYLLABLES["tamil"] = [*"அஆஇஉஎகசடதநபமயரலவளனணற", "கு", "மா", "லா", "சி", "தி", "வே", "ரா", "னி"]
_SYLLABLES["vietnamese"] = "Ngu yễn Trầ Phạ Hoà ng Đặ Bùi Đỗ Hồ Lý ươ iề ánh ọc ế ậ".split()
_PARTICLES = ("van der ", "de ", "al-", "von ", "O'", "Mac", "d'", "bin ", "da ", "St. ", "Ní ", "ben ")
_VERBS = "wants sees paints sold found likes forgot carries met lost needs repaired watched".split()
_NOUNS = (
    "lantern|bridge|tax form|grey cat|keyboard|harbour|ticket|old piano|red bicycle|parcel|meeting room|river|"
    "key|umbrella|green door|lemon cake|printer|train|window|letter|invoice|garden|blue coat"
).split("|")
_ENDS = "today|at noon|again|in the rain|on Monday|for 3 days|near the station|at 7:45|without asking|next year".split(
    "|"
)
_IDS = "abcdefghijkmnpqrstuvwxyz"
_MONTHS = "January February March April May June July August September October November December".split()
_STEMS = "x y n total items row user count data path idx price tmp acc result left node".split()


def whole(rng: Random, low: int | None = None, high: int | None = None) -> int:
    """An integer: small, negative, large; or between bounds."""
    if low is not None and high is not None:
        return rng.randint(low, min(high, low + rng.choice([5, 20, 100, 10**9])))
    kind = rng.randrange(8)
    size = [10, 100, 100, 1000, 10_000, 1_000_000, 10**9, 50][kind]
    made = rng.randint(0, size) * (-1 if rng.random() < 0.3 else 1)
    return round(made, 2 - len(str(abs(made)))) if rng.random() < 0.15 else made  # now and then a round one


def decimal(rng: Random, low: float | None = None, high: float | None = None) -> float | int:
    """A number that may have decimals; a whole one is an int."""
    if low is not None and high is not None:
        top = min(high, low + rng.choice([1, 10, 100, 1e12]))
        figure = max(low, min(top, round(rng.uniform(low, top), rng.choice([0, 1, 1, 2, 2, 3]))))
    else:
        figure = round(
            rng.choice([1, 1, -1]) * rng.uniform(0, rng.choice([1, 10, 100, 10_000, 1e6])),
            rng.choice([0, 1, 2, 2, 3, 4]),
        )
    return int(figure) if figure == int(figure) else figure


def say_number(value: float | int, rng: Random) -> str:
    """As people write it: 1250000, 1,250,000, 1.5 million, twelve, minus 4."""
    if isinstance(value, int):
        if 0 <= value <= 100 and rng.random() < 0.4:
            return number(value, rng, loose=False)
        if value >= 10_000 and rng.random() < 0.15:
            return f"{value:,}"
    if value < 0 and (luck := rng.random()) < 0.18:
        small = isinstance(value, int) and value >= -100 and luck < 0.06
        return f"{rng.choice(['minus', 'minus', 'negative'])} {spelled(-int(value), rng) if small else -value}"
    if isinstance(value, int) and value >= 1_000_000 and value % 100_000 == 0 and rng.random() < 0.5:
        return f"{value / 1_000_000:g} million"
    return str(value)


def script_word(rng: Random, script: str = "") -> str:
    """One word in some alphabet."""
    script = script or rng.choice([*_SYLLABLES, "latin", "accents", "accents", "latin"])
    if script in ("latin", "accents"):
        parts = [rng.choice(_LATIN) for _ in range(rng.choice([2, 2, 3]))]
        if script == "accents":
            parts.insert(rng.randint(1, len(parts)), rng.choice(_ACCENTS))
        return "".join(parts).capitalize()
    count = rng.choice([2, 2, 3]) if script in ("chinese", "korean", "kanji") else rng.choice([2, 3, 4])
    word = "".join(rng.choice(_SYLLABLES[script]) for _ in range(count))
    return word.capitalize() if script in ("cyrillic", "greek", "armenian", "vietnamese") else word


def person(rng: Random) -> str:
    """A person's name; two in five of everyday stock."""
    if rng.random() < 0.4:
        return rng.choice(words("people")) + (f" {script_word(rng, 'latin')}" if rng.random() < 0.5 else "")
    script = rng.choice([*_SYLLABLES, *["latin", "accents", "accents"] * 3])
    if script in ("chinese", "korean") or rng.random() < 0.25:
        return script_word(rng, script)
    first, last = script_word(rng, script), script_word(rng, script)
    if script in ("latin", "accents") and rng.random() < 0.3:
        initial = f"{rng.choice('ABJKMRST')}. {last}"
        last = rng.choice([rng.choice(_PARTICLES) + last, f"{last}-{script_word(rng, script)}", initial])
    return f"{first} {last}"


def place(rng: Random) -> str:
    if rng.random() < 0.65:
        return rng.choice(words("cities"))
    return (
        script_word(rng)
        if rng.random() < 0.8
        else f"{rng.choice(['San', 'Port', 'New', 'Bad', 'Saint'])} {script_word(rng, 'latin')}"
    )


def sentence(rng: Random) -> str:
    """A few words nobody has written before."""
    luck = rng.random()
    if luck > 0.96:
        return "…"  # what stands for a long quote that the prompt leaves out
    who = rng.choice([person(rng), "the " + rng.choice(_NOUNS), "she", "nobody", "my neighbour", "our team"])
    text = f"{who} {rng.choice(_VERBS)} the {rng.choice(_NOUNS)}" + (
        f" {rng.choice(_ENDS)}" if rng.random() < 0.6 else ""
    )
    if luck < 0.12:
        text = " ".join(script_word(rng, rng.choice([*_SYLLABLES])) for _ in range(rng.choice([2, 3])))
    if rng.random() < 0.6:
        text = text[0].upper() + text[1:]
    return text + rng.choice(["", "", ".", "!", "?", " 🙂", " (no. 4)", ": it's 50% off"])


def short(rng: Random) -> str:
    """A title of one to three words."""
    luck = rng.random()
    if luck < 0.2:
        return script_word(rng)
    noun = rng.choice(_NOUNS)
    if luck < 0.5:
        return noun
    if luck < 0.75:
        return f"{rng.choice(['My', 'The', 'Old', 'Project', 'Plan', 'Last'])} {noun}".title()
    return f"{script_word(rng, 'latin')} {noun}"


def ident(rng: Random) -> str:
    """Order numbers, hashes, keys."""
    kind = rng.randrange(6)
    digits = "".join(rng.choice("0123456789") for _ in range(rng.choice([3, 4, 6])))
    letters = "".join(rng.choice(_IDS) for _ in range(rng.choice([2, 3, 4])))
    if kind == 0:
        return f"{letters.upper()}-{digits}"
    if kind == 1:
        return "".join(rng.choice("0123456789abcdef") for _ in range(rng.choice([6, 8, 12])))
    if kind == 2:
        return f"{letters}_{digits}"
    if kind == 3:
        return f"{letters.upper()}{digits}{rng.choice('XKZ')}"
    if kind == 4:
        return f"#{digits}"
    return f"{digits}-{letters}-{rng.randint(10, 99)}"


def email(rng: Random) -> str:
    name = script_word(rng, "latin").lower()
    return f"{name}{rng.choice(['', '.', '_', '+'])}{rng.choice(_IDS)}{rng.randint(1, 99)}@{script_word(rng, 'latin').lower()}.{rng.choice(['com', 'org', 'co.uk', 'de', 'io'])}"


def url(rng: Random) -> str:
    path = "/".join(rng.choice(_STEMS) for _ in range(rng.choice([0, 1, 2])))
    host = f"{script_word(rng, 'latin').lower()}.{rng.choice(['com', 'org', 'net', 'io', 'jp'])}"
    return f"{rng.choice(['https://', 'https://', 'http://', 'www.'])}{host}/{path}{rng.choice(['', '', f'?id={rng.randint(1, 999)}', '.html'])}"


def file_path(rng: Random) -> str:
    name = f"{rng.choice(_STEMS)}{rng.choice(['', '_v2', '-final', f'_{rng.randint(1, 99)}', ' copy'])}.{rng.choice(['txt', 'csv', 'py', 'json', 'pdf', 'png', 'md', 'log'])}"
    folder = rng.choice(
        ["", "", "/tmp/", "~/projects/", "data/2026/", "C:\\Users\\ana\\", "./src/", "../", "D:\\", "/etc/app/"]
    )
    return folder + name


def iso_date(rng: Random) -> tuple[str, str]:
    """YYYY-MM-DD, and how a person writes that day."""
    year, month, day = rng.randint(1950, 2031), rng.randint(1, 12), rng.randint(1, 28)
    iso = f"{year}-{month:02}-{day:02}"
    name = _MONTHS[month - 1]
    end = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th")
    return iso, rng.choice(
        [
            iso,
            iso,
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{name} {day}{end}, {year}",
            f"{day} {name[:3]} {year}",
        ]
    )


def clock(rng: Random) -> str:
    return f"{rng.randint(0, 23):02}:{rng.choice([0, 5, 10, 15, 20, 30, 40, 45, 50]):02}"


def phone(rng: Random) -> str:
    digits = "".join(rng.choice("0123456789") for _ in range(7))
    return rng.choice(
        [
            f"+{rng.randint(1, 99)} {digits[:3]} {digits[3:]}",
            f"0{digits}",
            f"({digits[:3]}) {digits[3:]}-{rng.randint(10, 99)}",
        ]
    )


def hex_code(rng: Random) -> str:
    return "#" + "".join(rng.choice("0123456789abcdef") for _ in range(6))


def day(rng: Random) -> str:
    return rng.choice(words("dates")) if rng.random() < 0.5 else iso_date(rng)[1]


COPIED: dict[str, Any] = {
    "phone": phone, "hex": hex_code, "date": day,
    "person": person, "place": place, "sentence": sentence, "short": short, "id": ident, "email": email, "url": url,
    "path": file_path, "time": clock, "code": code_text, "codeline": code_line, "word": script_word,
}  # fmt: skip
