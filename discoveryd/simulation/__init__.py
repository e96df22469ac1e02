"""A network simulated in virtual time by the engine itself; one seed gives one result, to the bit.

- `medium`: the clock, and a segment that loses and delays.
- `lan`, `sender`: the nodes of ``discoveryd simulate``.
- `plan`, `run`, `counts`, `report`: what is simulated, measured and reported.
"""
