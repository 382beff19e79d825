"""``python -m otzyv``: the command, where its script is not on the path."""

from otzyv.flows.command.main import main

main(prog_name="otzyv")
