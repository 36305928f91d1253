"""The command ``labo``: one door to corpora, training, evaluation and studies."""

import argparse
import errno
import importlib
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType

import fairseq_labo
from fairseq_labo.experiments.commands import COMMANDS, PACKAGE, parser_of
from fairseq_labo.experiments.console import printable
from fairseq_labo.experiments.errors import UserError

# Module -> the extra of this distribution that installs it.
EXTRAS = {
    "fairseq": "fairseq", "fairseq_cli": "fairseq", "omegaconf": "fairseq",
    "sacremoses": "data", "regex": "data", "subword_nmt": "data", "sentencepiece": "data",
    "requests": "data", "urllib3": "data", "tqdm": "data", "tabulate": "data",
    "sacrebleu": "eval", "matplotlib": "eval", "jinja2": "eval", "markupsafe": "eval",
    "yaml": "eval", "pydantic": "eval", "pydantic_core": "eval", "scipy": "eval",
}  # fmt: skip

# What ends a command, by the system's number for it -> what a user can do.
REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "choose another folder",
    errno.EACCES: "give permission there, or choose another folder",
    errno.EFBIG: "raise the limit for the size of a file (ulimit -f)",
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of ``NAME option ... [-- fairseq option ...]``; the latter as `options.passed_on`."""
    name, *own = arguments
    place = own.index("--") if "--" in own else len(own)
    own, passed_on = own[:place], own[place + 1 :]
    parser = parser_of(name)
    if passed_on and not COMMANDS[name].passes_on:
        parser.error(f"expected nothing behind --, found {' '.join(passed_on)}")
    if empty := [word for word in own if word.endswith("=--")]:  # of which argparse makes a list
        parser.error(f"argument {empty[0].removesuffix('=--')}: expected a value, found --")
    options = parser.parse_args(own)
    options.passed_on = passed_on
    return options


def usage() -> str:
    """The commands, a line each."""
    lines = "\n".join(f"  {name:<10} {command.summary}" for name, command in COMMANDS.items())
    return f"usage: labo COMMAND [option ...]\n\n{lines}\n\nlabo COMMAND -h: its options"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. What a user can mend is said without a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _show_what_cannot_be_encoded()
    if words in ([], ["-h"], ["--help"]):
        print(usage())
        return 0 if words else 2
    if words == ["--version"]:
        print(f"fairseq_labo {fairseq_labo.__version__}")
        return 0
    if words[0] not in COMMANDS:
        return _failed(f"expected a command ({', '.join(COMMANDS)}), found {words[0]!r}", status=2)
    for word in words:  # a byte that is no text; in no file that a command writes could it stand
        if not word.isascii() and word != word.encode(errors="ignore").decode():
            return _failed(f"expected UTF-8, found {word!r}; rename the file", status=2)
    _quieten_libraries()
    # nohup lets its command ignore SIGHUP: so it stays.
    heard = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, _end) for number in heard}
    try:
        options = parse(words)
        module = importlib.import_module(f"{PACKAGE}.{COMMANDS[words[0]].module}")
        return module.run(options) or 0
    except UserError as error:
        return _failed(str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _failed(
            f"labo {words[0]} needs the module {error.name}, found none for {sys.executable}: run "
            f"`pip install 'fairseq_labo[{extra}]'` (or [all])"
        )
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (or its flush at the end fails again)
        return 128 + signal.SIGPIPE
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "mend it")
        return _failed(f"{error}; what is complete is kept: {remedy}, and run the command again")
    except MemoryError:
        return _failed("out of memory: give smaller numbers, or free some and run it again")
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _failed(message: str, *, status: int = 1) -> int:
    sys.stdout.flush()
    print(f"error: {printable(message)}", file=sys.stderr)
    return status


def _show_what_cannot_be_encoded() -> None:
    """On a terminal of another encoding, umlauts and the like are shown as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _end(number: int, frame: FrameType | None) -> None:
    # An exception, so that whatever runs children ends them on the way out.
    raise SystemExit(128 + number)


def _quieten_libraries() -> None:
    """What libraries of fairseq's time say about themselves is not the user's concern."""
    warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask", UserWarning)
    warnings.filterwarnings("ignore", ".*pin_memory. argument is set as true", UserWarning)
    # Under fairseq the root logger is at DEBUG: matplotlib then reports fonts by the hundred.
    for name in ("matplotlib", "sacrebleu", "fairseq", "hydra"):
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
