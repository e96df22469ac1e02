"""HTTP: metrics, service discovery, the JSON of the query socket, a stream of events, and the page of this node.

Starlette has the routes, uvicorn reads and writes HTTP; both are imported only where ``web.listen`` or
``metrics.listen`` is set, and run on the one event loop of the daemon. What a kept server leaves open is here:

- `server`: the sockets are ours, so that a taken port is told and tried again; so are the bounds, for uvicorn closes
  neither a silent nor a trickling connection.
- `gate`: every request passes it first. A web page in a browser of this machine can send requests to loopback, and a
  name of its own may have the address of this machine: `Host`, `Origin` and `Sec-Fetch-Site` tell these apart from what
  was meant for us. Beyond loopback there is a token.
- `answers`: everything is read only, but for a doctor's report about a peer, which asks that peer.
- `events`: a ``watch`` for browsers, that goes on where it was interrupted.
"""
