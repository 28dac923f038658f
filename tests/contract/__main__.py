"""``make aws-test REGION=…``: check the rules of AWS.md in the account of the caller's credentials."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.contract.account import Account
from tests.contract.rule import NotSeenError, WrongError
from tests.contract.rules import ALSO, RULES
from tests.contract.run import REFUSED, Run


def main(arguments: list[str]) -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make aws-test", description=__doc__)
    parser.add_argument("--region", required=True, help="the region, such as us-east-1")
    parser.add_argument("--confirm", default="", help="what would be typed, for automation: the account's ID")
    parser.add_argument("--also", nargs="*", default=[], choices=[*ALSO], help="what may be done beside")
    parser.add_argument("--clean", action="store_true", help="only delete what earlier runs have left")
    options = parser.parse_args(arguments)
    if not options.region:
        parser.error("REGION=… is needed, such as REGION=us-east-1")

    def say(line: str) -> None:
        # The terminal may be gone, and what was made is deleted all the same.
        with suppress(OSError):
            print(line, flush=True)

    def ask(prompt: str) -> str:
        if options.confirm:
            return str(options.confirm)
        try:
            return input(prompt)
        except (EOFError, KeyboardInterrupt):
            return ""

    path = Path("build", "aws-test", f"{options.region}.json")
    try:
        account = Account(boto3.Session(), options.region)
        return Run(account, path, say, ask, options.also, () if options.clean else RULES).run()
    except (BotoCoreError, ClientError, NotSeenError, WrongError) as error:
        say(f"Nothing was done. {error}")
        return REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
