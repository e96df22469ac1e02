"""docs/findings.md, made of the kinds of findings: ``python -m tests.findings_page > docs/findings.md``."""

from textwrap import fill

from discoveryd.query.finding_kind import AREAS
from discoveryd.query.finding_kinds import FINDING_KINDS

HEAD = """\
# Findings

What `discoveryctl doctor` and `discoveryctl status` find, and what each finding means. A finding has a *code*, which is
public API and is never changed; programs find it in `status`, in the log (`fault: …`, once two looks 10 s apart have
seen it), in [hooks](hooks.md#findings) named `finding-…`, in the metrics as `discoveryd_finding{code="…"}`, and in the
report of the doctor ([query.md](query.md)).

*Severity*: **high**, this node does not work; **medium**, something is missing; **low**, good to know, and no fault.
*Certainty*: **proven**, nothing else explains the numbers; **likely**, something else seldom does; **possible**, look
there. What follows from a finding is not told beside it. What is not known is no finding.

`discoveryctl doctor` ends with exit code 0 without a fault, 1 with one, 3 where no daemon answers. `discoveryctl doctor
PEER` is about a peer, or an address that was never heard: it begins with what is wrong here. Then the daemon asks that
node by unicast what it hears, and up to three others whether they hear it (an address that is not listed only for root,
or a user that may read the control token); and the doctor sends that machine an empty datagram, and reads what its
kernel answers. Run by root it names the rule of nftables that drops the HELLOs, and the command that lets them through.

`--bundle FILE` writes the report, the status, the peers, the configuration, the log and what the kernel counts into one
archive for a bug report, also without a daemon. Keys and tokens are not in it, and what looks like one is taken out;
names, addresses and tags are.
"""
TESTS = {
    "interfaces-unreadable": "tests/query/test_findings.py::test_each_fault_is_found_and_explained",
    "interface-excluded": "tests/netns/test_doctor.py::test_groups_prefixes_and_identities_are_told_apart",
    "no-link": "tests/netns/test_doctor.py::test_addresses_that_do_not_fit_are_named",
    "family-unspoken": "tests/query/test_family_findings.py::test_a_family_without_a_socket_is_named",
    "own-firewall-out": "tests/netns/test_doctor.py::test_firewalls_are_named_on_both_sides_and_opened",
    "sending-failed": "tests/query/test_findings.py::test_each_fault_is_found_and_explained",
    "seed-unresolved": "tests/query/test_seed_findings.py::test_a_name_that_does_not_resolve_is_named",
    "seeds-silent": "tests/query/test_seed_findings.py::test_seeds_that_do_not_answer_are_named_together",
    "own-firewall-in": "tests/netns/test_doctor.py::test_firewalls_are_named_on_both_sides_and_opened",
    "isolated": "tests/query/test_findings.py::test_each_fault_is_found_and_explained",
    "nothing-heard": "tests/netns/test_doctor.py::test_healthy_machines_have_no_fault",
    "arp-off": "tests/netns/test_doctor.py::test_a_machine_without_arp_is_named_on_both_sides",
    "rp-filter": "tests/netns/test_doctor.py::test_routes_that_lead_elsewhere_are_named",
    "other-prefix": "tests/netns/test_doctor.py::test_groups_prefixes_and_identities_are_told_apart",
    "other-realm": "tests/netns/test_doctor.py::test_groups_prefixes_and_identities_are_told_apart",
    "other-version": "tests/query/test_findings.py::test_a_source_that_cannot_be_understood_is_named",
    "no-keys": "tests/query/test_findings.py::test_a_source_that_cannot_be_understood_is_named",
    "unknown-key": "tests/netns/test_doctor.py::test_groups_prefixes_and_identities_are_told_apart",
    "bad-seal": "tests/query/test_findings.py::test_a_source_that_cannot_be_understood_is_named",
    "plain-refused": "tests/netns/test_doctor.py::test_groups_prefixes_and_identities_are_told_apart",
    "port-translated": "tests/query/test_findings.py::test_a_source_that_cannot_be_understood_is_named",
    "peers-one-way": "tests/query/test_findings.py::test_a_peer_that_is_heard_badly_is_named_with_the_cause",
    "peer-firewall-in": "tests/netns/test_doctor.py::test_firewalls_are_named_on_both_sides_and_opened",
    "peer-deaf": "tests/netns/test_doctor.py::test_firewalls_are_named_on_both_sides_and_opened",
    "hellos-filtered": "tests/query/test_findings.py::test_a_peer_that_is_heard_badly_is_named_with_the_cause",
    "lossy-path": "tests/netns/test_doctor.py::test_loss_is_told_as_loss_and_as_nothing_else",
    "dropped": "tests/netns/test_doctor.py::test_groups_prefixes_and_identities_are_told_apart",
    "dropped-there": "tests/query/test_answers.py::test_what_the_other_side_drops_is_the_reason",
    "broadcasts-lost": "tests/netns/test_doctor.py::test_what_lies_between_is_told_by_the_answers_of_others",
    "heard-by-others": "tests/query/test_answers.py::test_a_witness_that_hears_it_is_told",
    "client-isolation": "tests/netns/test_doctor.py::test_what_lies_between_is_told_by_the_answers_of_others",
    "peer-down": "tests/query/test_doctor.py::test_the_state_of_a_peer_is_told",
    "peer-left": "tests/query/test_doctor.py::test_the_state_of_a_peer_is_told",
    "peer-unknown": "tests/netns/test_doctor.py::test_a_machine_that_is_missing_is_asked",
    "not-running": "tests/netns/test_doctor.py::test_a_machine_that_is_missing_is_asked",
    "firewall-rejects": "tests/ctl/test_doctor.py::test_a_missing_machine_is_asked",
    "port-silent": "tests/netns/test_doctor.py::test_a_machine_that_is_missing_is_asked",
    "no-answer": "tests/netns/test_doctor.py::test_a_machine_that_is_missing_is_asked",
    "no-such-machine": "tests/netns/test_doctor.py::test_a_machine_that_is_missing_is_asked",
    "no-arp": "tests/netns/test_doctor.py::test_a_machine_without_arp_is_named_on_both_sides",
    "routed-elsewhere": "tests/netns/test_doctor.py::test_routes_that_lead_elsewhere_are_named",
    "clone": "tests/query/test_findings.py::test_clones_are_told_apart_from_a_clone_of_this_node",
    "cloned-memory": "tests/query/test_findings.py::test_a_cloned_memory_is_told_with_the_address",
    "shared-address": "tests/netns/test_doctor.py::test_addresses_that_do_not_fit_are_named",
    "table-full": "tests/query/test_findings.py::test_a_full_table_and_a_flood_are_told",
    "flood": "tests/query/test_findings.py::test_a_full_table_and_a_flood_are_told",
    "small-receive-buffer": "tests/query/test_findings.py::test_each_fault_is_found_and_explained",
    "metrics-not-served": "tests/query/test_findings.py::test_an_unserved_metrics_page_is_told",
    "web-not-served": "tests/web/test_room.py::test_a_taken_port_is_a_finding_and_ends_nothing",
    "dns-not-served": "tests/daemon/test_dns.py::test_a_taken_port_is_told_once_and_tried_again",
    "names-not-found": "tests/daemon/test_dns.py::test_a_resolver_that_finds_nothing_is_a_finding",
    "history-unwritable": "tests/history/test_keeper.py::test_a_full_disk_is_told_and_what_comes_later_is_kept",
    "no-witness": "tests/query/test_findings.py::test_a_witness_that_is_gone_is_good_to_know",
    "service-not-announced": "tests/query/test_findings.py::test_each_fault_is_found_and_explained",
    "hook-not-run": "tests/query/test_findings.py::test_each_fault_is_found_and_explained",
    "export-not-written": "tests/exports/test_exporter.py::test_a_file_that_cannot_be_written_is_told_once",
    "export-command-failed": "tests/exports/test_exporter.py::test_a_command_runs_after_each_change",
    "nats-unreachable": "tests/consumers/test_nats.py::test_a_server_that_hangs_is_left_and_nothing_stale_comes",
    "nats-auth": "tests/consumers/test_nats.py::test_a_stolen_gateway_cannot_speak_for_another_site",
    "nats-tls": "tests/consumers/test_nats.py::test_tls_is_never_left_out",
    "site-unreachable": "tests/consumers/test_sites.py::test_three_sites_know_each_other",
}
"""The test that provokes each: between real hosts where that is in tests/netns, else by its evidence in a status."""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for area in AREAS:
        parts.append(f"## {area.capitalize()}\n")
        for code, kind in FINDING_KINDS.items():
            if kind.area == area:
                title = f"**{kind.title[0].upper()}{kind.title[1:]}** ({kind.severity}, {kind.certainty})."
                texts = (f"{title} {kind.meaning}", kind.remedy, f"Provoked in `{TESTS[code]}`.")
                parts += [f"### `{code}`\n", *(f"{fill(text, 120, break_on_hyphens=False)}\n" for text in texts)]
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
