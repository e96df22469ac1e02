"""Answers to questions of DNS: the names of the peers that are up, below one domain, and their services.

A room of its own, imported only where ``dns.listen`` is set.

::

    names       which names a peer has in the zone, and which of what it offers can be a name
    index       names -> rows of the table; reads of the table what changed in it
    far         the zones of other sites, out of what the gateways there tell
    zone        a question -> its answer, out of the index and of what the table says this very moment; pure
    message     bytes -> a question, an answer -> bytes: all that dnslib is used for
    rates       how many questions of a source are answered
    server      UDP and TCP on the event loop
    service     all of it as the daemon has it
    delegation  the file that lets the resolver of this machine ask here; `discoveryd install --dns` puts it in place
    trial       whether the resolver of this machine finds a name

What an answer says of life is never kept: the index only knows the peer of a name. Each question looks at the rows it
is about, so a peer that left is gone with its goodbye, and one that is silent when its ttl is over, whatever waits.
"""
