"""A network simulated in virtual time by the engine itself; one seed gives one result, to the bit.

- `network`: the clock, and segments with loss, delay and other faults; the tests use them too.
- `host`: a machine that runs one engine after another.
- `lan`, `sender`: the nodes of ``discoveryd simulate``, and what is counted.
- `plan`, `run`, `report`: what is simulated, measured and reported.
"""
