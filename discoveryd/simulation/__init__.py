"""A network simulated in virtual time by the engine itself; one seed gives one result, to the bit.

- `network`: clock, segments and hosts; the tests extend them. A sender without a table.
- `lan`: the nodes of ``discoveryd simulate``, and what is counted.
- `plan`, `run`: what is simulated, measured and reported.
"""
