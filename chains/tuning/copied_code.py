"""Code to copy: real lines of Python's standard library, and lines composed at random in a dozen other notations.

The composed ones have the quotes, backslashes and indents that copying trips over. Neither is there for its meaning.
"""

from __future__ import annotations

import re
import sysconfig
import textwrap
from functools import cache
from pathlib import Path
from random import Random

# Words stand in rows and notations in long lines, as in a table.
# ruff: noqa: E501, SIM905

_NAMES = (
    "x y n i k a b total items row rows user users count data path idx price tmp acc result left node key value line text "
    "config cart order buf size done seen mask weights token_count user_id max_len fileName isReady getItem onClick Widget "
    "Parser self.cache req res err ctx el"
).split()
_CALLS = "print save check load parse send max len str update fold range open render push map join split fetch strip log".split()
_TEXTS = (
    "hi|hello, world|it's|don't|a\\tb|C:\\\\temp\\\\x|line\\n|%d items|%s: %s|é|ok!|{name}|$HOME|50%|a, b|x=1&y=2|/usr/bin|*.txt|"
    '\\d+|[a-z]+|no file|#fff|--force|utf-8|key: value|done.|<b>bold</b>|why?|(empty)|\\\\|\\"quoted\\"|TODO|日本|naïve|a b  c| |'
).split("|")
_TAGS = "div p a li span h1 td section button img".split()


def code_text(rng: Random, notation: str = "") -> str:
    """One line of code, or up to a dozen; often a fragment, which copying must not complete.

    `notation` is one of `NOTATIONS`, or several with "+" between them; by default any.
    """
    of_one = rng.choice(notation.split("+"))
    if rng.random() < (0.4 if not of_one else 0.7 if of_one == "python" else 0.0):
        return _library(rng)
    lines = rng.choice([1, 1, 1, 1, 2, 2, 3, 4])
    maker = NOTATIONS[of_one] if of_one else rng.choice(_ANY)
    luck = rng.random()
    if luck < 0.2:
        return _excerpt(maker(rng, 4), rng)
    text = maker(rng, lines)
    return _begun(text, rng) if luck < 0.28 else text


def _library(rng: Random) -> str:
    """One to eight lines out of the standard library, moved to the left, from wherever to wherever."""
    files = _library_files()
    while True:
        lines = files[rng.randrange(len(files))].read_text(encoding="utf-8", errors="replace").splitlines()
        start = rng.randrange(len(lines)) if lines else 0
        some = [line.rstrip() for line in lines[start : start + rng.choice([1, 1, 1, 2, 2, 3, 4, 5, 6, 8])]]
        text = textwrap.dedent("\n".join(some)).strip("\n")
        prose = re.fullmatch(r"[\w\s,.'()\-#]*", text)  # a docstring, which reads like a request
        if 8 < len(text) < 360 and "`" not in text and "\ufffd" not in text and not prose:
            return text.lstrip() if rng.random() < 0.9 else text


@cache
def _library_files() -> tuple[Path, ...]:
    """The standard library's modules, in the order of their names."""
    root = Path(sysconfig.get_paths()["stdlib"])
    apart = {"site-packages", "dist-packages", "test", "encodings"}  # others' code, and tables
    folders = [folder for folder in sorted(root.glob("[a-z]*/")) if folder.name not in apart]
    return tuple(file for folder in (root, *folders) for file in sorted(folder.glob("[a-z]*.py")))


def _excerpt(text: str, rng: Random) -> str:
    """Some lines out of the middle, moved to the left: a block without its end, an `else:` without its `if`."""
    lines = text.split("\n")
    start = rng.randrange(len(lines))
    some = textwrap.dedent("\n".join(lines[start : start + rng.choice([1, 2, 2, 3])]))
    return some if len(some) > 5 else text


def _begun(text: str, rng: Random) -> str:
    """The beginning up to some bracket, comma or operator."""
    ends = [found.end() for found in re.finditer(r"[({\[,;=:+]+", text) if found.end() > 5]
    return text[: rng.choice(ends)] if ends else text


def code_line(rng: Random, notation: str = "") -> str:
    """Code on one line that backticks can stand around."""
    while True:
        text = code_text(rng, notation)
        if "\n" not in text and "`" not in text:
            return text


def code_block(rng: Random, notation: str = "") -> str:
    """Code that a fence can stand around."""
    while True:
        text = code_text(rng, notation)
        if "`" not in text:
            return text


def _name(rng: Random) -> str:
    return rng.choice(_NAMES) + (str(rng.randint(1, 9)) if rng.random() < 0.12 else "")


def _number(rng: Random) -> str:
    return str(
        rng.choice(
            [rng.randint(0, 9), rng.randint(10, 9999), -rng.randint(1, 50), round(rng.uniform(0, 9), 2), "0x1f", "1e-3"]
        )
    )


def _string(rng: Random, marks: str = '""\'') -> str:
    mark = rng.choice(marks)
    text = rng.choice(_TEXTS)
    if mark == "'":
        return "'" + text.replace("'", '"' if rng.random() < 0.5 else "") + "'"
    return mark + (text if '\\"' in text else text.replace('"', "'")) + mark


def _value(rng: Random, depth: int = 2, marks: str = '""\'') -> str:
    kind = rng.randrange(11 if depth else 5)
    inner = depth - 1
    if kind < 2:
        return _name(rng)
    if kind < 3:
        return _number(rng)
    if kind < 5:
        return _string(rng, marks)
    if kind == 5:
        return f"{_value(rng, inner, marks)} {rng.choice(['+', '-', '*', '/', '%', '==', '<', '>=', '!='])} {_value(rng, inner, marks)}"
    if kind == 6:
        return f"{_name(rng)}[{_value(rng, 0, marks)}]"
    if kind == 7:
        return f"[{', '.join(_value(rng, inner, marks) for _ in range(rng.randint(0, 3)))}]"
    if kind == 8:
        return f"({_value(rng, inner, marks)})"
    return f"{rng.choice(['', '', _name(rng) + '.'])}{rng.choice(_CALLS)}({', '.join(_value(rng, inner, marks) for _ in range(rng.randint(0, 2)))})"


def _python(rng: Random, lines: int) -> str:
    step = rng.choice(["    ", "    ", "  ", "\t"])
    made: list[str] = []
    indent = 0
    while len(made) < lines or made[-1].rstrip().endswith(":"):
        space, a, b = step * indent, _name(rng), _value(rng)
        opens = lines > 1 and indent < 3 and (indent == 0 or rng.random() < 0.4) and len(made) < lines + 2
        if opens and rng.random() < 0.75:
            made.append(space + rng.choice([
                f"def {rng.choice(_CALLS)}({a}, {_name(rng)}=None):", f"for {a} in {b}:", f"if {b}:", f"while {a} < {_number(rng)}:",
                f"with open({_string(rng)}) as f:", "try:", f"class {a.title()}:", f"if not {a} and {b} is None:",
            ]))  # fmt: skip
            indent += 1
            continue
        made.append(space + rng.choice([
            f"{a} = {b}", f"{a} = {b}", f"{a} += {_number(rng)}", f"return {b}", f"print({b})", f"print({_string(rng)}, {a})",
            f"{a} = [{_value(rng, 1)} for {_name(rng)} in {b}]", f'print(f"{rng.choice(_CALLS)}: {{{a}}}")', f"{a} = lambda {_name(rng)}: {b}",
            f"{a}[{_string(rng)}] = {b}", f"import {rng.choice(['os', 'json', 're as r', 'math'])}", f"assert {b}, {_string(rng)}",
            f"{a} = {{{_string(rng)}: {_number(rng)}, {_string(rng)}: {b}}}", f"raise ValueError({_string(rng)})", f"{a}, {_name(rng)} = {b}, {_number(rng)}",
            f"{rng.choice(_CALLS)}({b})  # {rng.choice(_TEXTS)}", '"' * 3 + rng.choice(["Say it.", "A note on x."]) + '"' * 3,
        ]).rstrip())  # fmt: skip
        if indent and rng.random() < 0.35:
            indent -= 1
    return "\n".join(made)


def _script(rng: Random, lines: int) -> str:
    def line() -> str:
        a, b = _name(rng), _value(rng, marks="\"'`")
        return rng.choice([
            f"const {a} = {b};", f"let {a} = {b}", f"{a}.{rng.choice(_CALLS)}(({_name(rng)}) => {b});", f"console.log({b});",
            f"console.log(`{rng.choice(_CALLS)} ${{{a}}}`)", f"return {b};", f"if ({b}) {{ {rng.choice(_CALLS)}({a}); }}",
            f"document.querySelector({_string(rng)}).{rng.choice(_CALLS)}();", f"{a} = {{ {_name(rng)}: {_string(rng)}, {_name(rng)}: [{_number(rng)}] }};",
            f"for (let i = 0; i < {a}.length; i++) {{ {a}[i] += {_number(rng)}; }}", f"// {rng.choice(_TEXTS)}", f"export default {a};",
        ]).rstrip()  # fmt: skip

    if lines < 3:
        return "\n".join(line() for _ in range(lines))
    step = rng.choice(["  ", "    "])
    body = "\n".join(step + line() for _ in range(lines - 2))
    return f"function {rng.choice(_CALLS)}({_name(rng)}) {{\n{body}\n}}"


def _braces(rng: Random, lines: int) -> str:
    a, b, n, text = _name(rng), _value(rng, 1, '"'), rng.randint(1, 999), _string(rng, '"')
    call = rng.choice(_CALLS)
    if lines == 1:
        return rng.choice([
            f"for (int i = 0; i < {n}; i++) {{ {a} += i; }}", f'printf("%d\\n", {b});', f"System.out.println({text} + {a});", f'fmt.Printf("%v: %q\\n", {a}, {text})',
            f"let mut {a}: Vec<u32> = vec![{n}, {n + 1}];", f'println!("{{}} {{:?}}", {a}, {text});', f"std::cout << {text} << {a} << '\\n';", f"char *{a} = {text};",
            f"{a} := {call}({b}, {text})", f"#define {a.upper()} ({n} << 2)", f"if ({a} != NULL && {b}) return -{n};", f"echo {text} . ${a} . \"\\n\";", f"puts \"#{{{a}}} is {n}\"",
            f"case '\\n': {a}++; break;", f"match {a} {{ Some({b}) => {n}, None => 0 }}", f"public static final String {a.upper()} = {text};",
        ])  # fmt: skip
    step = rng.choice(["    ", "  ", "\t"])
    head = rng.choice(
        [
            f"int {call}(int {a}) {{",
            f"fn {call}({a}: &str) -> i32 {{",
            f"func {call}({a} string) error {{",
            f"public void {call}(String {a}) {{",
        ]
    )
    return "\n".join([head, *(step + f"{_name(rng)} = {_value(rng, 1, chr(34))};" for _ in range(lines - 1)), "}"])


def _sql(rng: Random, lines: int) -> str:
    a, b, table, n = (
        _name(rng),
        _name(rng),
        rng.choice(["users", "orders", '"Order"', "log_2024", "items i"]),
        rng.randint(1, 9999),
    )
    text = "'" + rng.choice(["open", "O''Brien", "%son", "2024-01-31", "a\\_b", "x y"]) + "'"
    glue = "\n" if lines > 1 else " "
    return rng.choice([
        f"SELECT {a}, {b}{glue}FROM {table}{glue}WHERE {a} > {n} AND {b} = {text};", f"UPDATE {table}{glue}SET {a} = {text}{glue}WHERE id = {n}",
        f"INSERT INTO {table} ({a}, {b}){glue}VALUES ({n}, {text});", f"DELETE FROM {table} WHERE {a} LIKE {text}", f"SELECT COUNT(*) AS \"{b}\" FROM {table}{glue}GROUP BY {a}",
        f"select * from {table} where {a} in ({n}, {n + 3}) order by {b} desc limit {n}", f"CREATE TABLE {a} ({glue}id INTEGER PRIMARY KEY, {b} TEXT DEFAULT {text});",
    ])  # fmt: skip


def _shell(rng: Random, lines: int) -> str:
    def line() -> str:
        a, n, text = (
            rng.choice(["src", "/tmp/x", "*.log", '"$HOME/My Docs"', "notes.txt", "~/a b.csv".replace(" ", "\\ ")]),
            rng.randint(1, 99),
            _string(rng),
        )
        return rng.choice([
            f"ls -la {a} | head -n {n}", f"grep -rn {text} {a}", f"find {a} -name {text} -mtime +{n} -delete", f"echo {text} >> {a}", f"cat {a} | awk '{{print ${n}}}' | sort -u",
            f"sed -i 's/{_name(rng)}/{_name(rng)}/g' {a}", f"for f in {a}; do mv \"$f\" \"${{f%.txt}}.md\"; done", f"curl -s -H {text} http://localhost:80{n}/api?x={n}",
            f"git commit -am {text} && git push", f"docker run --rm -v {a}:/data -e KEY={text} app:{n}", f"export {_name(rng).upper()}={text}", f"[ -f {a} ] || exit {n}",
            f"python -c \"print('{_name(rng)}' * {n})\"", f"tar czf out.tgz {a} 2>/dev/null", f"ssh me@10.0.0.{n} 'ls \"{_name(rng)}\"'", f"awk -F'\\t' '$2 > {n}' {a}",
        ])  # fmt: skip

    return "\n".join(line() for _ in range(lines))


def _markup(rng: Random, lines: int) -> str:
    return rng.choice([_html, _html, _html, _tex, _style, _notes])(rng, lines)


def _html(rng: Random, lines: int) -> str:
    tag, other, text = rng.choice(_TAGS), rng.choice(_TAGS), rng.choice(_TEXTS[:8])
    inner = f'<{other} class="{_name(rng)}">{text} &amp; {_name(rng)}</{other}>'
    if lines == 1:
        return rng.choice([
            inner, f'<img src="{_name(rng)}.png" alt=\'{text}\'/>', f'<a href="/{_name(rng)}?q={rng.randint(1, 99)}">{text}</a>',
            f"<!-- {text} -->", f'<?xml version="1.0"?><{_name(rng)}/>', f"<{tag}><{other}>{text}</{other}> &copy; {rng.randint(1990, 2030)}</{tag}>",
            f'<svg width="{rng.randint(9, 99)}"><circle r="{rng.randint(1, 9)}" fill=\'#{rng.randint(100, 999)}\'/></svg>', f'<input type="number" name="{_name(rng)}" required>',
        ])  # fmt: skip
    step = rng.choice(["  ", "    ", "\t"])
    return f'<{tag} id="{_name(rng)}">\n' + "\n".join(step + inner for _ in range(max(1, lines - 2))) + f"\n</{tag}>"


def _tex(rng: Random, lines: int) -> str:
    def part() -> str:
        a, n = rng.choice("x y n k \\lambda \\theta v_0 p".split()), rng.randint(2, 99)
        return rng.choice([
            f"\\frac{{{a}}}{{{n}}}", f"\\sqrt{{{a}_1}}", f"\\sum_{{k=1}}^{{{n}}} {a}^k", f"\\int_0^{{{n}}} {a}\\,d{a}", f"\\alpha_{{{a}}} \\leq {n}",
            f"\\overline{{{a}}}^{{{n}}}", f"\\mathbb{{R}}^{{{n}}}", f"{a} \\mapsto {n}{a}", f"\\lim_{{{a} \\to \\infty}}", f"\\text{{if }} {a} > {n}",
        ])  # fmt: skip

    glue = rng.choice([" + ", " = ", " \\cdot ", " \\quad "])
    made = glue.join(part() for _ in range(rng.randint(1, 3)))
    if lines == 1:
        return rng.choice([
            made, f"${made}$", f"\\[ {made} \\]", f"\\begin{{align}} {made} &= {rng.randint(1, 9)} \\\\ y &\\in \\mathbb{{R}} \\end{{align}}",
            f"\\section{{{_name(rng).title()}}} See~\\ref{{{_name(rng)}}}.", f"\\textbf{{{_name(rng)}}} \\& \\emph{{{_name(rng)}}} cost \\${rng.randint(1, 99)}",
        ])  # fmt: skip
    kind = rng.choice(["align*", "equation", "itemize", "tabular"])
    row = {"itemize": "\\item ${}$", "tabular": f"{{}} & {rng.randint(1, 99)} \\\\"}.get(kind, "{}")
    body = "\n".join("  " + row.replace("{}", part(), 1) for _ in range(lines - 1))
    return f"\\begin{{{kind}}}{'{ll}' if kind == 'tabular' else ''}\n{body}\n\\end{{{kind}}}"


def _style(rng: Random, lines: int) -> str:
    def rule() -> str:
        return rng.choice([
            f"color: #{rng.randint(100, 999)}", f"margin: 0 {rng.randint(1, 9)}px", f"font: bold {rng.randint(9, 32)}px Georgia",
            "float: left !important", f"width: calc(100% - {rng.randint(1, 99)}px)", f"content: '\\20{rng.randint(10, 99)}'", f"transition: all .{rng.randint(1, 9)}s ease-in",
            f"background: url(\"img/{_name(rng)}.png\") no-repeat", f"grid-template-columns: repeat({rng.randint(2, 6)}, 1fr)",
        ])  # fmt: skip

    where = rng.choice([f".{_name(rng)} > {rng.choice(_TAGS)}", f"#{_name(rng)}:hover", f"{rng.choice(_TAGS)}::before", f"input[type=\"{_name(rng)}\"]", "*", ":root"])  # fmt: skip
    if lines == 1:
        made = f"{where} {{ {'; '.join(rule() for _ in range(rng.randint(1, 2)))} }}"
        return made if rng.random() < 0.7 else f"@media (max-width: {rng.randint(1, 999)}px) {{ {made} }}"
    return f"{where} {{\n" + "\n".join(f"  {rule()};" for _ in range(lines)) + "\n}"


def _notes(rng: Random, lines: int) -> str:
    made = [rng.choice([f"# {rng.choice(_TEXTS[:8])}", f"- [ ] **{_name(rng)}** _{_name(rng)}_", f"| {_name(rng)} | {rng.randint(1, 99)} |", f"> {rng.choice(_TEXTS[:4])}", f"![{_name(rng)}](img/{_name(rng)}.png)"]) for _ in range(lines)]  # fmt: skip
    return "\n".join(made)


def _json(rng: Random, lines: int) -> str:
    def item() -> str:
        value = rng.choice(
            [
                '"' + rng.choice(_TEXTS[:3]) + '"',
                str(rng.randint(-9, 999)),
                "true",
                "null",
                f"[{rng.randint(0, 9)}, 2]",
                f'{{"{_name(rng)}": {rng.randint(0, 99)}}}',
            ]
        )
        return f'"{_name(rng)}": {value}'

    if lines == 1:
        return "{" + ", ".join(item() for _ in range(rng.randint(1, 3))) + "}"
    step = rng.choice(["  ", "    "])
    return "{\n" + ",\n".join(step + item() for _ in range(lines)) + "\n}"


def _pattern(rng: Random, lines: int) -> str:
    """A regular expression or a spreadsheet's formula; both have one line."""
    return rng.choice([_regex, _regex, _formula])(rng, lines)


def _regex(rng: Random, lines: int) -> str:
    del lines
    parts = (
        "\\d{2,4}", "[A-Z]\\w*", "(foo|bar)", "\\s+", "[^\"']", "\\.", "(?P<year>\\d+)", "a*?", "\\b", "(?:x|y){3}", "\\/", "[\\w.-]+@",
        "\\\\", "(\\S+)", "(?=.*\\d)", "[äöü]?", ".*", "(?<!\\$)", "[0-9a-f]{6}",
    )  # fmt: skip
    made = "".join(rng.choice(parts) for _ in range(rng.randint(2, 5)))
    return rng.choice(
        [f"^{made}$", made, made, f"/{made}/gi", f"s/{made.replace('/', '.')}/{_name(rng)}/", f'r"{made}"']
    )


def _formula(rng: Random, lines: int) -> str:
    del lines

    def cell() -> str:
        sheet = rng.choice(["", "", "", "Sheet2!", "Prices!", "'My Data'!"])
        return (
            sheet
            + rng.choice(["", "", "$"])
            + rng.choice("ABCDEFGHK")
            + rng.choice(["", "", "$"])
            + str(rng.randint(1, 120))
        )

    def part(depth: int) -> str:
        if depth == 0:
            return rng.choice(
                [
                    cell(),
                    cell(),
                    f"{cell()}*{rng.randint(2, 9)}",
                    f'"{rng.choice(["yes", "n/a", "late!", ""])}"',
                    str(rng.randint(1, 99)),
                ]
            )
        a, b = part(depth - 1), part(depth - 1)
        return rng.choice([
            f"SUM({cell()}:{cell()})", f"IF({a}>{rng.randint(0, 99)},{b},\"\")", f"IF({a}=\"\",\"-\",{b})", f"VLOOKUP({a},{cell()}:{cell()},2,FALSE)", f"ROUND({a},{rng.randint(0, 3)})",
            f"COUNTIF({cell()}:{cell()},\">={rng.randint(1, 99)}\")", f"MAX({a};{b};{rng.randint(1, 9)})", f"CONCAT({a},\", \",{b})", f"{a}&\" \"&{b}",
            f"TEXT({a},\"0.00\")", f"SUBSTITUTE({a},\"{rng.choice([',', '.', ' '])}\",\"\")", f"AND({a}<>0,{b}<{rng.randint(1, 99)})", f"AVERAGE({cell()}:{cell()})-{a}", f"LEFT(TRIM({a}),{rng.randint(1, 9)})",
        ])  # fmt: skip

    return "=" + part(rng.choice([1, 1, 2]))


def _cron(rng: Random, lines: int) -> str:
    def line() -> str:
        field = [str(rng.randint(0, 59)), str(rng.randint(0, 23)), rng.choice(["*", "*", "1", "*/2"]), rng.choice(["*", "*", "1-6"]), rng.choice(["*", "1-5", "0", "sun"])]  # fmt: skip
        return " ".join(
            [*field, rng.choice(["", "", f"/usr/bin/{_name(rng)} >/dev/null 2>&1", _shell(rng, 1)])]
        ).strip()

    return "\n".join(line() for _ in range(lines))


def _settings(rng: Random, lines: int) -> str:
    made: list[str] = []
    for _ in range(lines):
        key, value = _name(rng), rng.choice([_string(rng), _number(rng), "true", "[a, b]"])
        made.append(
            rng.choice(
                [
                    f"{key}: {value}",
                    f"{key} = {value}",
                    f"  - {key}: {value}" if made else f"{key}:",
                    f"[{key}]",
                    f"; {key}={value}",
                ]
            )
        )
    return "\n".join(made)


_ANY = (_python, _python, _python, _script, _script, _braces, _sql, _shell, _markup, _json, _pattern, _settings)
NOTATIONS = {
    "python": _python, "js": _script, "c": _braces, "sql": _sql, "shell": _shell, "html": _html, "tex": _tex, "css": _style, "markdown": _notes,
    "json": _json, "regex": _regex, "formula": _formula, "conf": _settings, "cron": _cron,
}  # fmt: skip
"""Makers of code by notation; "c" is C and what looks like it: Go, Rust, Java."""
