from discoveryd.protocol import bounded as module
from discoveryd.protocol.bounded import GIFT, HOLDS, MAX_UNRESOLVED, REFILL, RESOLVED, Credit

HERE, THERE = "10.0.0.7", "10.0.0.8"


def test_no_more_is_sent_than_came_and_a_little():
    credit = Credit()
    credit.receive(HERE, 100, 1.0)
    assert credit.spend(HERE, 100 + int(GIFT), 1.0)
    assert not credit.spend(HERE, 1, 1.0)
    credit.receive(HERE, 80, 1.0)
    assert credit.spend(HERE, 80, 1.0)
    assert credit.withheld == 1
    assert credit.spend(THERE, 80, 1.0), "others have accounts of theirs"


def test_what_does_not_fit_costs_nothing():
    credit = Credit()
    assert not credit.spend(HERE, int(GIFT) + 1, 1.0)
    assert credit.spend(HERE, int(GIFT), 1.0)


def test_an_account_grows_slowly_up_to_the_gift():
    credit = Credit()
    credit.spend(HERE, int(GIFT), 1.0)
    assert not credit.spend(HERE, 80, 1.0 + 79 / REFILL)
    assert credit.spend(HERE, 80, 1.0 + 80 / REFILL)
    assert not credit.spend(HERE, int(GIFT) + 1, 1e6)
    assert credit.spend(HERE, int(GIFT), 1e6)


def test_time_takes_nothing_of_what_came():
    credit = Credit()
    credit.receive(HERE, 5000, 1.0)
    assert credit.spend(HERE, 5000, 0.5), "what arrived earlier may be given later"
    assert credit.spend(HERE, int(GIFT), 100.0)


def test_who_returned_a_nonce_needs_no_account_for_an_hour():
    credit = Credit()
    credit.receive(HERE, 100, 1.0)
    credit.prove(HERE, 2.0)
    assert len(credit.accounts) == 0
    assert credit.is_proven(HERE, 1.0 + HOLDS)
    assert all(credit.spend(HERE, 1000, 3.0) for _ in range(100))
    credit.receive(HERE, 100, 3.0)
    assert len(credit.accounts) == 0
    assert not credit.is_proven(HERE, 2.0 + HOLDS)
    assert not credit.spend(HERE, int(GIFT) + 1, 2.0 + HOLDS)


def test_so_many_unproven_addresses_are_spoken_to_at_a_time():
    credit = Credit()
    addresses = [f"10.0.{number >> 8}.{number & 255}" for number in range(MAX_UNRESOLVED + 2)]
    assert all(credit.spend(address, 80, 1.0) for address in addresses[:-2])
    assert not credit.spend(addresses[-2], 80, 2.0)
    assert credit.withheld == 1
    assert credit.spend(addresses[0], 80, 2.0), "the kernel looks for it already"
    credit.prove(addresses[0], 2.0)
    assert credit.spend(addresses[-2], 80, 2.0), "one that answers makes room"
    assert not credit.spend(addresses[-1], 80, 0.9 + RESOLVED)
    assert credit.spend(addresses[-1], 80, 1.0 + RESOLVED)
    assert len(credit.unresolved) == 2


def test_addresses_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_ADDRESSES", 4)
    credit = Credit()
    for number in range(9):
        credit.receive(f"10.0.0.{number}", 1, 1.0)
        credit.prove(f"10.0.1.{number}", 1.0)
    assert (len(credit.accounts), len(credit.proven)) == (4, 4)
    assert credit.is_proven("10.0.1.8", 1.0)
    assert not credit.is_proven("10.0.1.0", 1.0)


def test_accounts_with_which_nothing_happens_are_forgotten():
    credit = Credit()
    for number in range(1000):
        credit.receive(f"10.0.{number >> 8}.{number & 255}", 100, 10.0 * number)
    assert len(credit.accounts) == module.FORGOTTEN / 10
