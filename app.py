"""The `artwright` command line: parses, and delegates to `chains.commands` or `ui`. Nothing heavy is imported here."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

# Libraries read these when they are imported; a person's own setting stays.
for _switch, _value in {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "TOKENIZERS_PARALLELISM": "false",
}.items():
    os.environ.setdefault(_switch, _value)

import typer  # noqa: E402

from chains import commands  # noqa: E402

cli = typer.Typer(
    name="artwright",
    help="Train small generative models on your own data and talk to them. Without a command: starts the app.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

Llm = Annotated[
    str,
    typer.Option(
        "--llm",
        metavar="SPEC",
        envvar="ARTWRIGHT_LLM",
        help="The LLM: embedded, a folder, a Hugging Face id, or provider:model.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="PATH|SOURCE",
        help="A file, a folder or a packaged source; ./NAME for a file of a source's name.",
    ),
]
Model = Annotated[str, typer.Argument(metavar="NAME_OR_DIR", help="A trained model's name or its folder.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The seed of all randomness.")]


@cli.command("app")
def app_command(
    host: Annotated[str, typer.Option(help="Address to serve on; beyond this machine only with ARTWRIGHT_AUTH.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve on.")] = 7860,
    llm: Llm = "embedded",
) -> None:
    """Start the app (the default). Beyond loopback only with ARTWRIGHT_AUTH=user:password."""
    auth = commands.authority(host)
    from ui import launch

    launch(host=host, port=port, llm=llm, auth=auth)


@cli.command()
def chat(
    text: Annotated[str, typer.Argument(metavar="TEXT", help='What you would type: "draw two sneakers".')],
    llm: Llm = "embedded",
    json: Json = False,
) -> None:
    """One turn of the chat in the terminal: the reply, and the files it made."""
    commands.chat(text, llm, json)


@cli.command()
def route(llm: Llm = "embedded") -> None:
    """Which tools would be called? JSON lines in, JSON lines out; runs no tool."""
    commands.route(sys.stdin, llm)


@cli.command("list")
def list_command(json: Json = False) -> None:
    """Every tool and trained model."""
    commands.show(json)


@cli.command()
def generate(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="A tool of `artwright list`.")],
    args: Annotated[str, typer.Option(metavar="JSON", help="The tool's arguments; an image may be a path.")] = "{}",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the files go; default: the store.")] = None,
    json: Json = False,
) -> None:
    """Call a tool directly, without the LLM; writes one file an artifact."""
    commands.generate(tool, args, out, json)


@cli.command()
def train(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="vae, markov, ...")],
    data: Data,
    val: Annotated[
        str | None, typer.Option(metavar="PATH", help="Validation data of its own; then all of --data trains.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; default: FAMILY-DATA.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, max=10_000, help="Time budget; without effect on markov, which counts its data."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="Step budget; then a resume is exact. Without effect on markov."),
    ] = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the interrupted run of this name was.")] = False,
    start: Annotated[str | None, typer.Option("--from", metavar="NAME", help="Start from this trained model.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the model here and nowhere else.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the family; repeatable.")
    ] = None,
) -> None:
    """Train a model on a file, a folder or a packaged source; prints its folder. Ctrl-C keeps what can be resumed."""
    commands.train(
        commands.Training(family, data, val, name, minutes, steps, seed, resume, start, out, tuple(settings or ()))
    )


@cli.command()
def merge(
    models: Annotated[list[str], typer.Argument(metavar="NAME_OR_DIR...", help="Two or more models of one family.")],
    weights: Annotated[
        list[float] | None, typer.Option("--weight", help="A model's weight; one for each, in order; default: alike.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The new model's name; default: FAMILY-A-B.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the model here and nowhere else.")] = None,
) -> None:
    """One Markov model of several, whose probabilities are the weighted means of theirs; prints its folder."""
    commands.merge(models, weights or [], name, out)


@cli.command()
def score(model: Model, data: Data, json: Json = False) -> None:
    """The exact held-out loss of a model on data."""
    commands.score(model, data, json)


@cli.command()
def sample(
    model: Model,
    count: Annotated[int, typer.Option(min=1, max=commands.MAX_SAMPLES, help="How many samples.")],
    out: Annotated[Path, typer.Option(metavar="F.npz", help="The NumPy archive to write.")],
    label: Annotated[str | None, typer.Option(help="Only this label; default: all labels in turn.")] = None,
    seed: Seed = 0,
) -> None:
    """Raw arrays of a model for evaluation."""
    commands.sample(model, count, out, label, seed)


@cli.command()
def inspect(
    model: Model,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A line of up to 120 characters.")],
    words: Annotated[
        str | None,
        typer.Option("--with", metavar="WORDS", help="See how a text that goes on from TEXT is written with these."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="F.png|F.json", help="The picture or the data to write; default: a table.")
    ] = None,
    json: Json = False,
) -> None:
    """What a model of text does on a line: its surprise, attention, gates, n-grams, states, or the chain of --with."""
    commands.inspect(model, text, words, out, json)


@cli.command()
def regenerate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that Artwright made.")],
) -> None:
    """Make a file again from its provenance. Exit 0: the same, 1: differs and how, 2: cannot and why."""
    raise typer.Exit(commands.regenerate(file))


@cli.command()
def tale(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="What its pictures show, such as sneaker.")],
    out: Annotated[Path, typer.Option(metavar="F.html", help="The page to write.")],
    pages: Annotated[int, typer.Option(min=1, max=24, help="How many pictures, each with a verse.")] = 3,
    seed: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="The seed; default: drawn now.")] = None,
) -> None:
    """An illustrated tale on one HTML page: a name, verses and pictures by the trained models."""
    commands.tale(subject, out, pages, seed)


@cli.command()
def mcp(
    http: Annotated[bool, typer.Option("--http", help="Serve streamable HTTP on 127.0.0.1 instead of stdio.")] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"Port of --http; default: {commands.MCP_PORT}.")
    ] = None,
) -> None:
    """The tools as an MCP server, for MCP clients on this computer: over stdio, or --http."""
    commands.mcp(http, port)


@cli.command()
def doctor(llm: Llm = "embedded") -> None:
    """What is installed, which LLM and device are used, what is missing and how to get it."""
    commands.doctor(llm)


def main(arguments: list[str] | None = None) -> int:
    """The console command; returns the exit code. A person's mistake is one line on stderr and exit code 2."""
    warnings.formatwarning = _one_line
    code = _run(arguments)
    if commands.left_behind():  # its threads cannot be interrupted, and Python would wait for them
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(arguments: list[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["app", *arguments]
    try:
        code = cli(arguments, prog_name="artwright", standalone_mode=False)
    except typer.TyperException as error:
        hint = f" (artwright {arguments[0]} --help)" if arguments[0] in commands.NAMES else " (artwright --help)"
        return _mistake(error.format_message().rstrip() + hint)
    except BrokenPipeError:  # the reader, `head` say, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _mistake(f"{where}{error.strerror or error or type(error).__name__}")
    except ValueError as error:
        return _mistake(str(error) or type(error).__name__)
    except (commands.Interrupted, KeyboardInterrupt, typer.Abort) as error:
        print("artwright:", str(error) or "stopped", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def _one_line(message: Warning | str, *where: object, **more: object) -> str:
    """A warning as a person reads it, without the line of code that gave it."""
    return f"artwright: {message}\n"


def _mistake(message: str) -> int:
    print("artwright:", " ".join(message.split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
