"""What the commands of this package share: flags, and one line for each way they can fail."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from data_pipelines.errors import UserError


class Parser(argparse.ArgumentParser):
    """Reports wrong flags as UserError, in one line."""

    def error(self, message: str) -> NoReturn:
        """See ArgumentParser.error."""
        raise UserError(f"{message}; --help lists the flags")


def run(main: Callable[[list[str]], int], interrupted: str) -> NoReturn:
    """Runs a command and exits: with 2 when the request cannot be met, with 130 after Ctrl-C.

    Args:
      main: arguments -> exit status.
      interrupted: what to say after Ctrl-C.
    """
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        # What reads the data names fields of a run's config, which are flags here.
        text = str(error).replace("--config.data.", "--").replace("config.data.", "--")
        print(f"error: {text.replace(' data.', ' --')}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
