"""The command tables of both programs: whole, and as they were released."""

import pytest

from discoveryd.cli import ctl_commands, daemon_commands

PROGRAMS = [daemon_commands.PROGRAM, ctl_commands.PROGRAM]

DAEMON = """\
discoveryd [-h, --help] [--version]
run [--config FILE]
start [--config FILE]
stop [--config FILE]
status [--config FILE]
reset-id [--config FILE]
check [--config FILE] [--quiet]
keygen [FILE] [--nats]
demo
simulate [--nodes N] [--loss P] [--minutes M] [--seed S] [--config FILE] [--json]
manual [PAGE]
completion SHELL
install [--now] [--socket] [--dns] [--copy] [--prefix DIR] [--dry-run]
uninstall [--dns] [--prefix DIR] [--dry-run]
version
help [COMMAND]
exit codes 0 1 2 3
"""
CTL = """\
discoveryctl [--json] [--address HOST:PORT] [--token-file FILE] [-h, --help] [--version]
FILTERS [--state STATE] [--name GLOB] [--tag KEY=VALUE] [--service SERVICE] [--link IF] [--all] [--site SITE]
list [FILTERS] [--wide] [--only COLUMN] [--format TEMPLATE] [--sort KEY] [--no-header] [--self] [--watch]
export FORMAT [PEER] [FILTERS] [--port P] [--domain DOMAIN] [--template TEMPLATE] [--warning N] [--critical N] [--no-self] [--list] [--host PEER]
show PEER [--site SITE]
status
sites
metrics
watch [FILTERS] [--timeout S] [--messages] [--message MESSAGE]
ping PEER [--count N] [--timeout S]
doctor [PEER] [--watch] [--bundle FILE] [--site SITE]
history [PEER] [--since S]
availability [FILTERS] [--since S]
wait --count N [FILTERS] [--timeout S] [--only COLUMN] [--format TEMPLATE]
send MESSAGE [PAYLOAD] [FILTERS] [--to PEER] [--everyone] [--site SITE] [--quorum N] [--timeout S] [--wait-handled]
ask MESSAGE [PAYLOAD] [FILTERS] [--to PEER] [--everyone] [--site SITE] [--quorum N] [--timeout S]
reload
maintenance PEER --for S
forget PEER
register NAME --port P [--proto PROTO] [--tag KEY=VALUE] [--timeout S] [--user USER] [-- COMMAND ...]
help [COMMAND]
exit codes 0 1 2 3 130
"""


def surface(program):
    """Write down what can be typed."""
    yield " ".join([program.name, *(f"[{option.form}]" for option in program.options)])
    if program.filters:
        yield " ".join(["FILTERS", *(f"[{option.form}]" for option in program.filters)])
    for command in program.commands.values():
        yield " ".join(filter(None, (command.name, *command.synopsis, command.rest)))
    yield " ".join(["exit codes", *(str(code) for code, _ in program.exit_codes)])


@pytest.mark.parametrize(("program", "released"), [(PROGRAMS[0], DAEMON), (PROGRAMS[1], CTL)])
def test_commands_options_and_exit_codes(program, released):
    assert list(surface(program)) == released.splitlines()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_row_has_texts_and_a_function(program):
    for command in program.commands.values():
        assert command.brief
        assert command.text.endswith(".")
        assert all(option.text for option in command.options)
        if command.name != "help":
            assert callable(command.load())


def test_repeated_options():
    repeated = {option.name for option in ctl_commands.PROGRAM.every_option().values() if option.is_repeated}
    assert repeated == {"state", "tag", "to", "message"}
