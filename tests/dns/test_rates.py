"""How many questions of a source are answered."""

from discoveryd.dns.rates import AT_ONCE, FOREIGN, LOCAL, PAUSE, SOURCES, WORK, Rates, Workload


def verdicts(rates, source, count, now=0.0):
    found = [rates.of_datagram(source, now) for _ in range(count)]
    return [found.count(one) for one in ("answered", "truncated", "dropped")]


def test_another_machine_is_answered_then_sent_to_tcp():
    rates = Rates()
    assert verdicts(rates, "10.0.0.7", 3 * FOREIGN) == [FOREIGN, FOREIGN, FOREIGN]
    assert verdicts(rates, "10.0.0.8", FOREIGN) == [FOREIGN, 0, 0]
    assert verdicts(rates, "10.0.0.7", FOREIGN, now=1.0) == [FOREIGN, 0, 0]
    assert sum(rates.of_stream("10.0.0.7", 1.0) for _ in range(3 * FOREIGN)) == FOREIGN


def test_all_addresses_of_this_machine_count_as_one():
    rates = Rates()
    assert verdicts(rates, "127.0.0.1", LOCAL) == [LOCAL, 0, 0]
    assert verdicts(rates, "127.9.9.9", LOCAL + 10) == [0, LOCAL, 10]
    assert verdicts(rates, "10.0.0.7", 1) == [1, 0, 0]
    assert [rates.is_local(one) for one in ("::1", "127.0.0.1", "10.0.0.1", "::2")] == [True, True, False, False]


def test_forged_sources_together_have_what_one_machine_has():
    rates = Rates()
    found = [rates.of_datagram(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0) for number in range(3 * LOCAL)]
    assert [found.count(one) for one in ("answered", "truncated", "dropped")] == [LOCAL, LOCAL, LOCAL]
    assert LOCAL > SOURCES  # they push each other out, and what all may have holds


def test_work_is_paid_for_at_half_its_speed():
    work = Workload(10.0)
    assert work.wait(10.0) == 0.0
    work.spend(AT_ONCE + 1.0)
    assert work.wait(10.0) == 1.0 / WORK + PAUSE
    assert work.wait(11.0) == 0.5 / WORK + PAUSE
    assert work.wait(12.5) == 0.0
    work.wait(99.0)
    work.spend(AT_ONCE)
    assert work.wait(99.0) > 0  # rest is not saved up
