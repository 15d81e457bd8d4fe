"""Writes commands.json: flags of the commands we use, as the `azure-cli` package itself declares them.

    python -m venv .local/azure-cli && .local/azure-cli/bin/pip install azure-cli
    .local/azure-cli/bin/python tests/azure_cli/extract.py > tests/azure_cli/commands.json

A command that a script or a document newly uses is added to COMMANDS first; the tests name it until then.
"""

import argparse
import json
import sys
from importlib.metadata import version
from typing import Any

COMMANDS = (
    "account get-access-token",
    "account list",
    "account list-locations",
    "account set",
    "account show",
    "ad app create",
    "ad app delete",
    "ad app list",
    "ad app show",
    "ad app update",
    "ad group list",
    "ad group show",
    "ad signed-in-user show",
    "ad sp create",
    "ad sp list",
    "ad sp show",
    "bicep build",
    "bicep install",
    "bicep upgrade",
    "deployment group create",
    "deployment group list",
    "deployment group show",
    "deployment group validate",
    "deployment group what-if",
    "deployment operation group list",
    "functionapp config appsettings list",
    "functionapp config appsettings set",
    "functionapp deployment source config-zip",
    "functionapp restart",
    "functionapp scale config set",
    "functionapp show",
    "functionapp start",
    "functionapp stop",
    "group create",
    "group delete",
    "group exists",
    "group list",
    "group show",
    "keyvault list-deleted",
    "keyvault recover",
    "keyvault secret list",
    "keyvault secret list-versions",
    "keyvault secret set",
    "keyvault secret show",
    "lock delete",
    "lock list",
    "login",
    "logout",
    "network private-endpoint-connection approve",
    "network private-endpoint-connection list",
    "postgres flexible-server backup list",
    "postgres flexible-server db list",
    "postgres flexible-server firewall-rule create",
    "postgres flexible-server microsoft-entra-admin create",
    "postgres flexible-server microsoft-entra-admin list",
    "postgres flexible-server parameter set",
    "postgres flexible-server parameter show",
    "postgres flexible-server restore",
    "postgres flexible-server show",
    "postgres flexible-server start",
    "postgres flexible-server stop",
    "provider register",
    "provider show",
    "resource list",
    "rest",
    "role assignment create",
    "role assignment list",
    "storage message peek",
    "upgrade",
    "version",
)


def described(parser: Any) -> dict[str, Any]:
    """A command's parser as plain values: positional arguments, and flags by their first name."""
    flags, positional = {}, []
    for action in parser._actions:
        options = [option for option in action.option_strings if option]
        choices = sorted(map(str, action.choices)) if action.choices is not None else None
        if not options:
            positional.append({"name": action.dest, "nargs": action.nargs})
        elif options != ["--help", "-h"] and action.help != argparse.SUPPRESS:
            flags[options[0]] = {
                "aliases": options[1:],
                "nargs": action.nargs,
                "required": bool(action.required),
                **({"choices": choices} if choices else {}),
            }
    return {"flags": dict(sorted(flags.items())), **({"positional": positional} if positional else {})}


def main() -> None:
    """Print the table; a command that this version lacks is an error naming it."""
    from azure.cli.core import get_default_cli  # type: ignore[import-not-found]  # in its own environment alone
    from azure.cli.core.file_util import (  # type: ignore[import-not-found]  # likewise
        create_invoker_and_load_cmds_and_args,
    )

    cli = get_default_cli()
    create_invoker_and_load_cmds_and_args(cli)
    parsers = cli.invocation.parser.subparser_map
    absent = [name for name in COMMANDS if name not in parsers]
    if absent:
        sys.exit(f"azure-cli {version('azure-cli')} has no: {', '.join(absent)}")
    table = {name: described(parsers[name]) for name in COMMANDS}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(one)}" for name, one in table.items())
    print(f'{{"azure-cli": "{version("azure-cli")}", "commands": {{\n{lines}\n}}}}')


if __name__ == "__main__":
    main()
