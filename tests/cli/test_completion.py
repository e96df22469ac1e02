"""The completion scripts, run by the shells they are for, against a daemon that is played or none at all."""

import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from discoveryd.cli import ctl_commands, daemon_commands
from discoveryd.cli.completion import scripts
from discoveryd.cli.ctl_values import COLUMNS, STATES
from discoveryd.cli.daemon_commands import SHELLS
from discoveryd.daemon import main
from tests.ctl.played import Daemon, peers_reply
from tests.query.samples import peer

ROOT = Path(__file__).resolve().parents[2]
CTL = ctl_commands.PROGRAM
PROGRAMS = (daemon_commands.PROGRAM, CTL)
PATIENCE = 20.0
"""Seconds a shell may take for everything it is told to do; it needs half of one."""
EVIL = "$(touch pwned)`touch pwned`;'\"x y"
"""What a peer may call itself."""
NAMES = ("alpha", "beta", "between", "--all", EVIL)
TOLD = {"name": NAMES, "tag": ("role=db", "role=gpu"), "link": ("eth0", "wlan0"), "service": ("http",)}

READY = "<ready>"
SETUP = {  # how a shell that reads no configuration is started, and what is typed before the line to complete
    "bash": (["--norc", "--noprofile"], "PS1='<rea''dy>'; source ./script\r"),
    "zsh": (["-f"], "unsetopt zle_bracketed_paste; autoload -U compinit; compinit -D -u; source ./script; PS1='<rea''dy>'\r"),
    "fish": (["--no-config"], "source ./script; function fish_prompt; echo '<rea''dy>'; end\r"),
}


def needs(shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")


@pytest.fixture
def home(tmp_path):
    """Return a directory with all scripts, in which discoveryctl knows some values and keeps what it is told to do."""
    for shell in SHELLS:
        text = "\n".join(text for name, text in scripts().items() if name.startswith(shell))
        (tmp_path / f"script.{shell}").write_text(text)
    for column, values in TOLD.items():
        (tmp_path / f"told.{column}").write_text("".join(f"{value}\n" for value in values))
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin" / "discoveryctl"
    stub.write_text(
        '#!/bin/sh\nif [ "$1 $2 $3" = "list --all --only" ]; then\n'
        f'    echo "$DISCOVERYCTL_ADDRESS" >{tmp_path}/asked; exec cat {tmp_path}/told.$4\nfi\n'
        f'printf "%s\\0" "$@" >{tmp_path}/ran\n'
    )
    stub.chmod(0o755)
    return tmp_path


def environment(home, **more):
    kept = {"PATH": f"{home}/bin:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    return kept | more


def offered(home, line, **more):
    """Return what bash would offer at the end of a line, by calling the function as readline does."""
    # readline splits at = and : too, and gives these as words
    words = [part for word in line.split(" ") for part in re.findall(r"[=:]+|[^=:]+", word) or [""]]
    script = f"""
        source {home}/script.bash
        COMP_WORDS=({" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}
        COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
        _{words[0]}
        for one in "${{COMPREPLY[@]}}"; do printf '%s\\n' "$one"; done
    """
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", script], cwd=home, env=environment(home, **more),
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


def typed(shell, home, line):
    """Type a line and a tab at an interactive shell, and Enter; give what discoveryctl was then told to do."""
    shutil.copy(home / f"script.{shell}", home / "script")
    options, setup = SETUP[shell]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(home)
        os.execvpe(shell, [shell, *options], environment(home))
    deadline = monotonic() + PATIENCE
    try:
        os.write(terminal, setup.encode())
        shown = _until(terminal, READY, deadline)
        os.write(terminal, f"{line}\t\rexit\r".encode())
        shown += _until(terminal, None, deadline)
    finally:
        os.close(terminal)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (home / "ran").exists(), shown
    return (home / "ran").read_text().split("\0")[:-1]


def _until(terminal, text, deadline):
    """Read what a terminal shows until a text is there, None: until nobody has it open any more."""
    shown = ""
    while text is None or text not in shown:
        readable, _, _ = select.select([terminal], [], [], max(0.0, deadline - monotonic()))
        assert readable, f"nothing more came after: {shown}"
        try:
            shown += os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # EIO: the last process has closed it
            return shown
    return shown


# --- what is offered, by the function of bash -------------------------------------------------------


def test_bash_completes_commands(home):
    assert offered(home, "discoveryctl ") == list(CTL.commands)
    assert offered(home, "discoveryctl sta") == ["status"]
    assert offered(home, "discoveryctl --json --address x:1 sta") == ["status"]
    assert {"run", "check", "completion"} <= set(offered(home, "discoveryd "))


def test_bash_offers_the_options_of_the_command(home):
    for name, command in CTL.commands.items():
        found = offered(home, f"discoveryctl {name} --")
        assert set(found) == {one.flags[-1] for one in CTL.options_of(command)}
    assert offered(home, "discoveryctl list ") == offered(home, "discoveryctl list --")
    assert set(offered(home, "discoveryd simulate --")) >= {"--nodes", "--loss", "--help"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("discoveryctl list --state ", list(STATES)),
        ("discoveryctl list --state=su", ["suspect"]),
        ("discoveryctl list --state up --state d", ["down"]),
        ("discoveryctl list --only a", ["address"]),
        ("discoveryctl list --link ", ["eth0", "wlan0"]),
        ("discoveryctl wait --count 2 --service ", ["http"]),
        ("discoveryctl ping --count ", []),
        ("discoveryctl list --tag ro", ["role=db", "role=gpu"]),
        ("discoveryctl list --tag role=", ["db", "gpu"]),
        ("discoveryctl list --tag role=g", ["gpu"]),
        ("discoveryctl list --tag=role=g", ["gpu"]),
        ("discoveryctl watch --name be", ["beta", "between"]),
        ("discoveryctl show be", ["beta", "between"]),
        ("discoveryctl ping --count 3 al", ["alpha"]),
        ("discoveryctl show alpha --j", ["--json"]),
        ("discoveryctl nonsense ", []),
        ("discoveryd manual discoveryd.", ["discoveryd.yaml"]),
        ("discoveryd completion ", list(SHELLS)),
        ("discoveryd help ", list(daemon_commands.PROGRAM.commands)),
        ("discoveryctl help ", list(CTL.commands)),
        ("discoveryctl help wa", ["watch", "wait"]),
        ("discoveryd check --config ", []),  # bash itself knows files
    ],
)
def test_bash_completes_values(home, line, expected):
    assert offered(home, line) == expected


def test_a_peer_name_is_quoted_and_never_an_option(home):
    found = offered(home, "discoveryctl show ")
    assert [shlex.split(one) for one in found] == [["alpha"], ["beta"], ["between"], [EVIL]]
    assert not (home / "pwned").exists()


def test_the_command_line_says_which_daemon_is_asked(home):
    offered(home, "discoveryctl show ", DISCOVERYCTL_ADDRESS="127.0.0.9:1")
    assert (home / "asked").read_text() == "127.0.0.9:1\n"
    offered(home, "discoveryctl --address 127.0.0.7:2 show ", DISCOVERYCTL_ADDRESS="127.0.0.9:1")
    assert (home / "asked").read_text() == "127.0.0.7:2\n"
    offered(home, "discoveryctl --address=127.0.0.8:3 show ")
    assert (home / "asked").read_text() == "127.0.0.8:3\n"


@pytest.fixture
def real(home):
    """Return a directory in which discoveryctl is the real one."""
    (home / "bin" / "discoveryctl").write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m discoveryd.ctl "$@"\n'
    )
    return home


def test_peer_names_come_from_the_daemon(real):
    with Daemon([[peers_reply(peer(), peer(name="alfred", state="left"))]]) as daemon:
        assert offered(real, f"discoveryctl --address {daemon.address} show al") == ["alfred", "alpha"]
    assert daemon.requests == [{"op": "list", "all": True}]


def test_without_a_daemon_no_name_is_offered(real):
    assert offered(real, "discoveryctl show ", DISCOVERYCTL_ADDRESS="127.0.0.1:1") == []


# --- each shell, as a person has it -----------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "ran"),
    [
        ("discoveryctl sho", ["show"]),
        ("discoveryctl list --wi", ["list", "--wide"]),
        ("discoveryctl list --state su", ["list", "--state", "suspect"]),
        (
            "discoveryctl --address 127.0.0.1:1 ping --count 3 al",
            ["--address", "127.0.0.1:1", "ping", "--count", "3", "alpha"],
        ),
        ("discoveryctl watch --tag role=g", ["watch", "--tag", "role=gpu"]),
        ("discoveryctl show \\$", ["show", EVIL]),
        ("discoveryctl help regi", ["help", "register"]),
    ],
)
def test_an_interactive_shell_completes(shell, home, line, ran):
    needs(shell)
    assert typed(shell, home, line) == ran
    assert not (home / "pwned").exists()


def test_fish_shows_descriptions(home):
    needs("fish")

    def complete(line):
        source = f"source script.fish; complete -C {shlex.quote(line)}"
        done = subprocess.run(
            ["fish", "--no-config", "-c", source], cwd=home, env=environment(home),
            capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        return dict((*row.split("\t"), "")[:2] for row in done.stdout.splitlines())

    assert complete("discoveryctl ") == {name: one.brief for name, one in CTL.commands.items()}
    assert complete("discoveryctl --address x:1 sta") == {"status": CTL.commands["status"].brief}
    assert not set(complete("discoveryctl show alpha ")) & set(NAMES)
    assert set(complete("discoveryctl show ")) == {"alpha", "beta", "between", EVIL}
    assert set(complete("discoveryctl list --state ")) == set(STATES)
    assert set(complete("discoveryctl status --")) == {one.flags[-1] for one in CTL.options}
    assert set(complete("discoveryd check --config ./bi")) == {"./bin/"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_has_no_syntax_error(shell, home):
    needs(shell)
    done = subprocess.run([shell, "-n", home / f"script.{shell}"], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


# --- that it is whole -------------------------------------------------------------------------------


def test_scripts_have_all_commands_and_options():
    found = scripts()
    assert set(found) == {
        "bash/discoveryd", "bash/discoveryctl", "zsh/_discoveryd", "zsh/_discoveryctl",
        "fish/discoveryd.fish", "fish/discoveryctl.fish",
    }  # fmt: skip
    for program in PROGRAMS:
        for name, text in found.items():
            if re.fullmatch(f".*/_?{program.name}(.fish)?", name):
                for command in program.commands.values():
                    assert re.search(rf"\b{command.name}\b", text)
                    for option in program.options_of(command):
                        flag = option.flags[-1]
                        assert (f"-l {flag[2:]} " if "fish" in name else flag) in text


def test_one_option_has_one_kind_of_value():
    """The scripts know what follows an option without knowing the command."""
    for program in PROGRAMS:
        for command in program.commands.values():
            for option in program.options_of(command):
                value = program.every_option()[option.name].value
                assert (option.value and option.value.metavar) == (value and value.metavar), option.name


def test_the_columns_asked_for_exist():
    words = [word for program in PROGRAMS for command in program.commands.values() for word in command.operands]
    words += [option.value for option in CTL.every_option().values() if option.value]
    asked = {word.column for word in words} - {""}
    assert asked == {"name", "tag", "service", "link"}
    assert asked <= set(COLUMNS)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_scripts_of_a_shell(shell, capsys):
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    for name, text in scripts().items():
        assert (text in printed) is name.startswith(shell)
