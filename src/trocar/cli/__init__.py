"""The command line: one file a verb, each imported when it is asked for.

Exit codes: 0 done; 1 the machine failed us, with what to do; 2 bad usage or input; 130 interrupted, with everything
finished so far on disk.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from trocar.cli.fields import LazyParser
from trocar.threads import prepare_threads, use_threads

VERBS: dict[str, tuple[str, str]] = {
    "segment": ("segment", "prompt objects of a video, volume, image or folder, and track them through it"),
    "batch": ("batch", "segment the sources of a table, many at once, here or on a Ray cluster"),
    "demo": ("demo", "segment and track a real surgical sequence that comes with the package, and score it"),
    "convert": ("convert", "masks from one file format to another, refusing what would lose something"),
    "info": ("tables", "what a source is: frames, size, rate, spacing"),
    "models": ("tables", "the networks, their sizes, licences and where their weights come from"),
    "classes": ("classes", "the class models and their classes; a class more from a few labelled frames"),
    "policies": ("tables", "the memory policies"),
    "formats": ("tables", "the file formats"),
    "datasets": ("datasets", "the data sets: what they are, and whether a folder holds one whole"),
    "serve": ("serve", "annotate in a browser, 3D Slicer or Python, several users on one model"),
    "gradio": ("gradio", "a small page for one video or volume: click, track, download"),
    "bench": ("bench", "run a published protocol, or measure speed and memory"),
    "train": ("train", "train a network by a recipe"),
    "recognize": ("recognize", "what a video shows and when: phases, actions, instruments, findings"),
    "curate": ("curate", "from folders of videos to a balanced sample of clips, stage by stage"),
    "pretrain": ("pretrain", "pretrain a video encoder on clips without labels"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    prepare_threads()
    parser = argparse.ArgumentParser(prog="trocar", description="Prompt once, get the masklet everywhere.")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=LazyParser)
    asked = next((word for word in given if word in VERBS), None)
    for verb, (module, about) in VERBS.items():
        command = commands.add_parser(verb, help=about, description=f"{about[0].upper()}{about[1:]}.")
        if verb == asked:  # only the verb in question pays for its imports
            import_module(f"trocar.cli.{module}").add_arguments(command, verb)
    options = parser.parse_args(given)
    if options.version:
        from trocar import __version__

        print(__version__)
        return 0
    if options.verb is None:
        parser.print_help()
        return 2
    return _guarded(options)


def _guarded(options: argparse.Namespace) -> int:
    """Run the verb; every failure becomes one line and an exit code."""
    warnings.showwarning = lambda message, *rest, **more: print(f"trocar: note: {message}", file=sys.stderr)
    try:
        if getattr(options, "threads", 0):
            use_threads(options.threads)
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        return _say(f"interrupted; {stop}" if str(stop) else "interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone, as in `trocar models | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        return _say(str(error), 2)
    except MemoryError:
        return _say("out of memory: close other programs, or choose a smaller --model", 1)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "out of memory" not in str(error):
            raise
        return _say(getattr(error, "strerror", None) or str(error), 1)
    else:
        return code


def _say(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"trocar: {line}", file=sys.stderr)
    return code
