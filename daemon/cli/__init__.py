"""The command `sensorium`: one file a command, imported when it is called.

Nothing here or at the top of a command's file may import numpy, torch, rich, pydantic or structlog: `--help` has to
come at once. A command's file holds one click command named `command`; what it returns, int or None, is the exit code.

Exit codes:
    0    done (a search without a match is an answer, and so 0)
    1    it failed; the line on stderr says what was wrong
    2    the command line was wrong
    3    `train` only: what was learned is not surely better and replaces nothing
    78   the configuration was wrong
    130  stopped by Ctrl-C
    141  the reader of stdout went away
    143  ended by SIGTERM (`run` and `record` end in order then, with 0)
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from daemon.cli._exit import BROKEN_PIPE, FAILURE, INTERRUPTED, OK
from pipelines.errors import SensoriumError

COMMANDS: dict[str, str] = {
    "run": "Watch, listen and read, and publish every moment, until stopped.",
    "demo": "Show the whole way on the bundled recording, then three searches.",
    "replay": "Run a recording through the same path as live streams.",
    "record": "Write what the configured sources bring into a recording.",
    "search": "Find moments by words, a picture or a sound.",
    "train": "Let a fusion learn from recordings what belongs together.",
    "check": "Check the configuration and say what would run.",
    "doctor": "Say what is installed, which devices and which models there are.",
    "models": "List the pretrained models, or fetch them.",
    "bench": "Measure speed and meaning on this machine.",
}
"""Every command and its line in `sensorium --help`; the file is `daemon/cli/<name>.py`."""

EPILOG = """\b
Examples:
  sensorium demo
  sensorium check --config config.yaml
  sensorium search "heard:glass breaking" --since 2h

\b
Exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration,
130 stopped by Ctrl-C, 141 the reader of stdout went away."""


class _ReaderGone(Exception):  # noqa: N818 - no error of ours
    """Stdout's reader went away. (click itself would turn a BrokenPipeError into exit code 1.)"""


@contextmanager
def _telling_when_the_reader_goes() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGone from error
    except BaseExceptionGroup as group:  # it may have been one of several tasks that printed
        if group.split(BrokenPipeError)[1] is None:
            raise _ReaderGone from group
        raise


class _Commands(click.Group):
    """Knows its commands by name and opens a command's file when that command is called."""

    def make_context(self, info_name: str | None, args: list[str], **extra: Any) -> click.Context:  # type: ignore[override]
        with _telling_when_the_reader_goes():
            return super().make_context(info_name, args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _telling_when_the_reader_goes():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"daemon.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where there is no such command."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(COMMANDS)}"
            ctx.fail(f"no such command {name!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from daemon.version import version

        click.echo(f"sensorium {version()}")
        ctx.exit()


@click.group(cls=_Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print it.")
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error (also: SENSORIUM_DEBUG=1).")
def cli(debug: bool) -> None:
    """Watches cameras, listens to sound, reads text; every moment becomes searchable, and says why it matched."""
    if debug:
        os.environ["SENSORIUM_DEBUG"] = "1"


def call(args: list[str] | None = None) -> int:
    """One call of the command; returns the exit code, lets a traceback out only under --debug."""
    was = os.environ.get("SENSORIUM_DEBUG")
    try:
        return _call(args)
    finally:
        if was is None:
            os.environ.pop("SENSORIUM_DEBUG", None)


def _call(args: list[str] | None) -> int:
    try:
        result: Any = cli.main(args, prog_name="sensorium", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (BrokenPipeError, _ReaderGone):
        _hush_stdout()
        return BROKEN_PIPE
    except Exception as error:
        if os.environ.get("SENSORIUM_DEBUG") == "1" or not _speaks_to_people(error):
            raise
        for line in _lines(error):
            click.echo(f"sensorium: {line}", err=True)
        code: int = getattr(error, "exit_code", FAILURE)
        return code
    return result if isinstance(result, int) else OK


def _speaks_to_people(error: BaseException) -> bool:
    """Whether the message says what was wrong, where, and what would be right; then no traceback is wanted."""
    if isinstance(error, BaseExceptionGroup):
        return all(_speaks_to_people(one) for one in error.exceptions)
    mind = sys.modules.get("multimodal.errors")  # only there if something of the mind was used
    base = getattr(mind, "MultimodalError", None)
    return isinstance(error, (SensoriumError, OSError)) or (base is not None and isinstance(error, base))


def _lines(error: BaseException) -> list[str]:
    """A mistake a line; a failed group of tasks is what failed in it, each once."""
    if isinstance(error, BaseExceptionGroup):
        return list(dict.fromkeys(line for one in error.exceptions for line in _lines(one)))
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return [f"{error.filename}: {error.strerror}"]
    return str(error).splitlines() or [type(error).__name__]


def _hush_stdout() -> None:
    """Keep the interpreter from flushing into the closed pipe at exit and complaining about it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> NoReturn:
    """Entry point of the console script. SIGTERM unwinds like Ctrl-C, so that files and folders are put in order."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(call())


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
