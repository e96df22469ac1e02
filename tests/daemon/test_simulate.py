"""``discoveryd simulate``: what it plays is checked where the truth is known, and what it prints is read."""

import json
import re
from pathlib import Path

import pytest

from discoveryd.cli.daemon_commands import PROGRAM
from discoveryd.cli.parse import parse
from discoveryd.daemon import main
from discoveryd.daemon.simulate import Progress, plan_of
from discoveryd.errors import ConfigError
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.turns import TURN
from discoveryd.simulation.lan import observers_of
from discoveryd.simulation.plan import Plan
from discoveryd.simulation.run import Simulation, text_of


def played(**options):
    simulation = Simulation(Plan(**options))
    simulation.run()
    return simulation.report()


@pytest.fixture(scope="module")
def small():
    return played(nodes=12, minutes=2)


# --- what is played -----------------------------------------------------------------------------------


def test_twelve_nodes_without_loss_list_each_other(small):
    assert (small["interval_s"], small["ttl_s"], small["whole_engines"]) == (0.8, 4.0, 12)
    assert small["start"]["full_tables"] == 12
    assert small["start"]["full_last_s"] < 1.2
    assert small["steady"]["hellos"] == pytest.approx(12 / 0.8, rel=0.02)
    # once in a turn each of 12 asks each of 11; the window may hold fewer than its share of turns
    assert 0 < small["steady"]["pings"] <= 12 * 11 / TURN * 1.2
    assert small["steady"]["pings"] == pytest.approx(small["steady"]["pongs"], rel=0.02)
    assert (small["false_downs"], small["suspicions_per_node_hour"]) == (0, 0)
    assert (small["rows_missing_at_end"], small["ghosts_at_end"]) == (0, 0)


def test_crashes_of_both_kinds_are_seen_by_all_in_time(small):
    for delays in (small["killed"], small["gone"]):
        assert delays["crashes"] >= 3
        assert delays["seen"] >= 10 * delays["crashes"]
        assert delays["median_s"] <= delays["p90_s"] <= delays["p99_s"] <= delays["longest_s"]
    assert small["killed"]["longest_s"] < 2.5
    assert small["gone"]["longest_s"] < 4.2


def test_a_seed_determines_the_report(small):
    assert played(nodes=12, minutes=2) == small
    assert played(nodes=12, minutes=2, seed="2") != small


def test_the_report_counts_the_hellos_of_the_start(small):
    assert small["start"]["busiest_second"] == 0
    assert 12 < small["start"]["hellos"] <= 12 * 5  # three greetings, a beat or two
    assert f"busiest second (from 0 s): {small['start']['hellos']} HELLOs broadcast" in text_of(small)


def test_the_report_has_a_rate_of_false_alarms():
    assert "false alarms    0 times a peer that runs was called down; 0 per node and hour" in text_of(
        played(nodes=3, minutes=0.5)
    )
    report = played(nodes=10, loss=0.7, minutes=1.5)
    assert report["false_downs"] > report["false_downs_in_start"]
    assert report["false_downs_per_node_hour"] > 0


def test_loss_leads_to_suspicions():
    report = played(nodes=10, loss=0.2, minutes=1)
    assert report["suspicions_per_node_hour"] > 100
    assert report["steady"]["pongs"] == pytest.approx(report["steady"]["pings"] * 0.8, rel=0.1)


def test_the_parameters_of_the_plan_are_those_of_all_nodes():
    report = played(nodes=12, minutes=1, parameters=Parameters(interval=2.0, ttl=10.0, budget=3, seeds=("10.9.9.9",)))
    assert (report["interval_s"], report["ttl_s"]) == (4.0, 20.0)
    assert report["steady"]["hellos"] == pytest.approx(3, rel=0.1)


def test_a_sample_has_the_figures_of_whole_engines():
    whole = played(nodes=30, minutes=1.5)
    sample = played(nodes=30, minutes=1.5, observers=12)
    assert (whole["whole_engines"], sample["whole_engines"]) == (30, 12)
    # not PINGs: below a hundred nodes two keep step in asking each other, and the crowd does not
    for one in ("hellos", "hello_bytes"):
        assert sample["steady"][one] == pytest.approx(whole["steady"][one], rel=0.05), one
    assert sample["start"]["full_last_s"] == pytest.approx(whole["start"]["full_last_s"], abs=0.2)
    # of a few crashes, each at a random moment of an interval
    assert sample["killed"]["median_s"] == pytest.approx(whole["killed"]["median_s"], abs=0.5)
    assert sample["gone"]["median_s"] == pytest.approx(whole["gone"]["median_s"], abs=0.5)
    for report in (whole, sample):
        assert (report["false_downs"], report["rows_missing_at_end"], report["ghosts_at_end"]) == (0, 0, 0)


def test_a_thousand_nodes_stay_within_the_budget():
    # a few observers: the storm of the start is most of the work, and of the same height for each
    report = played(nodes=1000, minutes=1.5, observers=2)
    assert (report["interval_s"], report["ttl_s"]) == (5.0, 25.0)
    assert report["steady"]["hellos"] <= 200 * 1.1
    assert report["steady"]["hellos"] == pytest.approx(200, rel=0.05)
    assert report["start"]["full_tables"] == 2
    assert (report["false_downs"], report["rows_missing_at_end"], report["ghosts_at_end"]) == (0, 0, 0)


# --- what is printed ----------------------------------------------------------------------------------


def test_simulate_prints_the_figures(capsys):
    assert main(["simulate", "--nodes", "5", "--minutes", "1", "--loss", "10%"]) == 0
    out, err = capsys.readouterr()
    assert err == ""  # a run of seconds needs no progress
    assert out.startswith("5 nodes on one segment, 10% loss, 1 virtual minutes, seed 1\n")
    for title in ("in force", "steady state", "tables", "process killed", "machine gone", "false alarms", "processor"):
        assert re.search(f"^{title} ", out, re.MULTILINE), title
    assert "interval 0.8 s, ttl 4 s" in out


def test_simulate_prints_json_that_repeats(capsys):
    found = []
    for _ in range(2):
        assert main(["simulate", "--nodes", "5", "--minutes", "1", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
        assert found[-1]["steady"].pop("cpu_percent_per_node") >= 0
    assert found[0] == found[1]
    assert found[0]["nodes"] == 5


def test_a_run_that_is_too_short_says_which_time_it_takes():
    text = text_of(played(nodes=5, minutes=0.5, parameters=Parameters(interval=5.0, ttl=25.0)))
    assert "steady state    not reached" in text
    assert "machine gone    not played" in text
    assert "To see everything at this interval takes --minutes 2." in text


def test_the_report_names_the_sample_and_a_raised_limit(small):
    assert "whole engine" not in text_of(small)
    text = text_of({**small, "nodes": 1000})
    assert "12 of them run the whole engine" in text
    assert "limits.peers" not in text
    text = text_of({**small, "nodes": 10_000, "limit_peers": 20_000})
    assert "limits.peers is raised from 4096 to 20000" in text


def test_ctrl_c_prints_the_figures_so_far(monkeypatch, capsys):
    def interrupt(self, look):
        while self.lan.clock.run(8.0, 1000):
            look(self.lan.clock.now)
        raise KeyboardInterrupt

    monkeypatch.setattr(Simulation, "run", interrupt)
    assert main(["simulate", "--nodes", "5"]) == 130
    out = capsys.readouterr().out
    assert "interrupted after 0.13 of 5 virtual minutes" in out
    assert "steady state    not reached" in out


def test_a_terminal_shows_a_progress_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["simulate", "--nodes", "10", "--minutes", "0.5"]) == 0
    err = capsys.readouterr().err
    assert re.match(r"\r\[#*-+\] +\d+% of 0.5 virtual minutes", err)
    assert err.endswith("\r\x1b[K")


def test_a_pipe_gets_a_line_of_progress_every_ten_seconds(capsys):
    now = [100.0]
    progress = Progress(300.0, clock=lambda: now[0])
    for virtual in range(0, 300, 10):
        progress.show(float(virtual))
        now[0] += 1.0
    progress.clear()
    assert capsys.readouterr().err.splitlines() == [
        "33% of 5 virtual minutes, about 20 s left", "67% of 5 virtual minutes, about 10 s left"
    ]


def test_above_a_hundred_nodes_a_sample_observes():
    assert [observers_of(nodes) for nodes in (100, 101, 1000, 20_000)] == [100, 50, 50, 10]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--nodes", "many"], ["--nodes: must be a number such as 20, not 'many'"]),
        (["--loss", "some", "--minutes", "x"],
         ["--loss: must be a share such as 0.2 or 20%, not 'some'", "--minutes: must be a number such as 5, not 'x'"]),
        (["--nodes", "1", "--loss", "99%", "--minutes", "nan"],
         ["--nodes: must be 2 to 20000, not 1", "--loss: must be 0 to 0.95 (or 0% to 95%), not 0.99",
          "--minutes: must be 0.5 to 1440, not nan"]),
    ],
)  # fmt: skip
def test_simulate_reports_each_wrong_argument(arguments, told, capsys):
    assert main(["simulate", *arguments]) == 2
    assert capsys.readouterr().err.splitlines() == [f"discoveryd: {line}" for line in told]


def test_simulate_takes_the_parameters_of_a_configuration(tmp_path, capsys):
    path = tmp_path / "discoveryd.yaml"
    path.write_text("hello:\n  interval: 400ms\n  ttl: 3s\n", encoding="utf-8")
    assert main(["simulate", "--nodes", "3", "--minutes", "0.5", "--config", str(path)]) == 0
    assert "interval 0.4 s, ttl 3 s" in capsys.readouterr().out


def test_a_plan_refuses_more_observers_than_nodes():
    with pytest.raises(ConfigError, match="observers: must be 0 to 3"):
        Plan(nodes=3, observers=4)


def test_docs_show_what_simulate_prints(small):
    page = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\$ discoveryd (simulate .*)\n(.*)$", page, re.MULTILINE)
    assert len(shown) == 5
    for command, headline in shown:
        plan = plan_of(parse(PROGRAM, command.split()))
        assert headline == text_of({**small, "nodes": plan.nodes, "whole_engines": plan.nodes, "loss": plan.loss,
                                    "minutes": plan.minutes, "minutes_played": plan.minutes}).splitlines()[0]  # fmt: skip
    titles = [re.findall(r"^[a-z ]+?(?= {2})", text, re.MULTILINE) for text in (page, text_of(small))]
    assert set(titles[0]) - {""} >= set(titles[1]) - {""}


def test_the_report_is_json(small):
    assert json.loads(json.dumps(small)) == small
