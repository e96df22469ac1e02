"""What a message to 100 peers costs: datagrams on the wire, and the seconds until all acknowledged, in simulation.

    python -m tests.benchmarks.messages
"""

from statistics import mean

from tests.simulation.talkers import count_sent, crowd, most_in_a_second

PEERS = 100
ROUNDS = 20


def main():
    print(f"one `send` to {PEERS} peers, {ROUNDS} times")
    for loss in (0.0, 0.2):
        clock, _, hosts = crowd(PEERS + 1, seed=loss, loss=loss)
        costs, times = [], []
        for turn in range(ROUNDS):
            begun, sender = clock.now, hosts[5 * turn]
            number = sender.say()
            clock.run(clock.now + 5.0)
            assert set(sender.ends(number).values()) == {"acked"}
            costs.append(count_sent(hosts, begun))
            times.append(sender.last(number))
        most = max(most_in_a_second(at for at, _ in host.sent) for host in hosts)
        sent, acked = (mean(cost[kind] for cost in costs) for kind in ("msg", "ack"))
        print(
            f"{loss:4.0%} loss each way: {sent:5.1f} MSG + {acked:5.1f} ACK = {sent + acked:5.1f} datagrams,"
            f" all acknowledged after {mean(times):.2f} s ({max(times):.2f} at most),"
            f" {most} a second of one node at most"
        )


if __name__ == "__main__":
    main()
