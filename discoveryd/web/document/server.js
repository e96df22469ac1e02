// The server: requests with the token in a header, and the stream of events.

let token = sessionStorage.getItem('token') || '';
// ms without a byte after which a stream is dead: the server sends a comment each 15 s
const PATIENCE = 40000;
// characters of one line of a stream
const MOST = 64 << 20;

class Refusal extends Error {
  constructor({ message }, response) {
    super(message || `the answer was ${response.status}`);
    this.status = response.status;
    this.retry = Number(response.headers.get('Retry-After')) || 0;
  }
}

async function request(path, options = {}) {
  const headers = { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...options.headers };
  const response = await fetch(path, {
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
    signal: AbortSignal.timeout(30000),
    ...options,
    headers,
  });
  if (!response.ok) throw new Refusal((await response.json().catch(() => ({}))).error || {}, response);
  return response;
}

const get = async (path) => (await request(path)).json();
const post = async (path, body) =>
  (
    await request(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
  ).json();

// The stream of events; after it ended it is read again from where it was.
class Stream {
  constructor(path, take) {
    // what is given each event; the id of the last one
    Object.assign(this, { path, take, last: '', end() {} });
  }

  // Read events until the stream ends, which is an error in any case.
  async read(opened) {
    const ending = new AbortController();
    this.end = () => ending.abort(new Error('nobody looks'));
    const dead = () => ending.abort(new Error('nothing arrives any more'));
    let timer = setTimeout(dead, PATIENCE);
    let text = '';
    let data = '';
    try {
      const headers = { Accept: 'text/event-stream', ...(this.last && { 'Last-Event-ID': this.last }) };
      const { body } = await request(this.path, { headers, signal: ending.signal });
      opened();
      const reader = body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || text.length > MOST) throw new Error('the stream ended');
        clearTimeout(timer);
        timer = setTimeout(dead, PATIENCE);
        const lines = (text + value).split('\n');
        text = lines.pop();
        for (const line of lines) data = this.line(line.replace(/\r$/, ''), data);
      }
    } finally {
      clearTimeout(timer);
      ending.abort();
    }
  }

  // Take one line; return the data that waits for the end of its event.
  line(line, data) {
    if (!line && data) this.take(JSON.parse(data));
    if (line.startsWith('id:')) this.last = line.slice(3).trim();
    return line.startsWith('data:') ? data + line.slice(5) : line && data;
  }
}
