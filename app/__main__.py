"""The command line."""

import argparse
import os
import sys
from importlib.metadata import version
from typing import Any

from app.access.clients_file import read_clients, read_clients_path
from app.cli import check, demo, export, key, serve
from app.cli.standard_streams import open_missing_streams, print_error, print_output
from app.errors import StartError


def main() -> int:
    """Run a command and return its exit status: 0 for success, 2 if it cannot start.

    1 says that a check found a fault, or that an export is not whole.
    """
    open_missing_streams()
    arguments = _parser().parse_args()
    try:
        return _run(arguments)
    except StartError as error:
        print_error(f"tallygate: {error.detail}")
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "serve":
            serve.serve()
        case "demo":
            demo.demo(arguments.port, arguments.upstream_port)
        case "check":
            return 0 if check.check() else 1
        case "key":
            print_output(_run_key(arguments))
        case "history":
            return export.export(arguments.since, arguments.until, arguments.merchants, portfolio=arguments.portfolio)
    return 0


def _run_key(arguments: argparse.Namespace) -> str:
    if arguments.action == "list":
        return key.list_clients(read_clients(read_clients_path(os.environ)))
    return key.make_client(
        arguments.client, arguments.merchants, portfolio=arguments.portfolio, expires=arguments.expires
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tallygate", description="A gateway to merchants' crypto balances.")
    parser.add_argument("--version", action="version", version=version("tallygate"))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve, as the environment says")
    demo = commands.add_parser("demo", help="serve made-up balances, with everything that it takes")
    demo.add_argument("--port", type=int, default=8080)
    demo.add_argument("--upstream-port", type=int, default=8090)
    commands.add_parser("check", help="check settings, callers, Redis, upstream and token")
    keys = commands.add_parser("key", help="keys of clients").add_subparsers(dest="action", required=True)
    keys.add_parser("list", help="list who is in the clients file")
    new = keys.add_parser("new", help="make a key, and the lines for the clients file")
    new.add_argument("--client", required=True, help="the name of the program that gets the key")
    new.add_argument("--merchants", required=True, help="`all`, or the ids that it may read, separated by commas")
    new.add_argument("--portfolio", action="store_true", help="it may read all merchants together")
    new.add_argument("--expires", help="when the key ends, such as 2027-06-01T00:00:00Z; never if left out")
    _add_history(commands)
    return parser


def _add_history(commands: Any) -> None:
    history = commands.add_parser("history", help="the past of the balances").add_subparsers(
        dest="action", required=True
    )
    export = history.add_parser(
        "export",
        help="write what is kept of it as lines of JSON, for archives",
        description="Needs only TALLYGATE_REDIS_URL or TALLYGATE_HISTORY_REDIS_URL, and TALLYGATE_UPSTREAM_URL where "
        "one Redis has histories of several upstreams. Status 1: something was lost meanwhile.",
    )
    export.add_argument("--from", dest="since", required=True, metavar="TIME", help="such as 2026-11-25T17:00:00Z")
    export.add_argument("--until", metavar="TIME", help="until before this time; now if left out")
    export.add_argument("--merchants", default="all", help="`all`, or ids separated by commas (default: all)")
    export.add_argument("--portfolio", action="store_true", help="the upstream's aggregate too")


if __name__ == "__main__":
    sys.exit(main())
