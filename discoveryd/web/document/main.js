// What runs: the stream of events, what is asked now and then, the token, the theme.

// when the stream ended, in seconds; 0 while it is there
let lost = 0;
// when the one before ended, of which the history tells what came after
let ended = 0;
// why it ended, and when there was an answer to anything
let why = '';
let seen = now();
// when it is read again; infinity without a token
let retryAt = 0;
// reads it again
let wake = () => {};
let sayings = [];

// Tell a screen reader what happened, at most each 3 s, several changes in one sentence.
function say(text) {
  if (sayings.push(text) > 1) return;
  setTimeout(
    () => {
      put(
        byId('say'),
        sayings.length > 4 ? `${sayings.length} changes, the last: ${sayings.at(-1)}` : sayings.join('. '),
      );
      sayings = [];
    },
    byId('say').textContent ? 3000 : 100,
  );
}

function tellLink() {
  const isWaiting = retryAt === Infinity;
  byId('link').className = `link script ${isWaiting ? '' : lost ? 'lost' : 'live'}`;
  put(byId('link'), isWaiting ? 'waits for a token' : lost ? `next try in ${age(retryAt - now())}` : 'live');
  byId('entry').hidden = !isWaiting;
  byId('all').hidden = isWaiting;
  const old = now() - seen;
  if (lost && !isWaiting && old > 7) put(byId('headline'), `${why}: what follows is ${age(old)} old.`);
}

// --- events

const stream = new Stream('events', (event) => {
  if (event.error) throw new Error(event.error.message);
  if (event.event === 'snapshot') takeAll(event.peers, now(), ['up', 'suspect']);
  else if (event.peer) {
    take(event.peer, event.reason, event.former);
    feed(event);
    if (event.event !== 'updated') say(`${labelOf(event.peer)} ${event.event}: ${event.reason}`);
    due.status = Math.min(due.status, now() + 0.3);
    due.past = Math.min(due.past, now() + 3);
  }
  draw();
});

async function follow() {
  let failures = 0;
  const opened = () => {
    if (lost) say('connected again');
    lost = retryAt = failures = 0;
    hasFeed = false;
    tellLink();
    askAll();
  };
  for (;;) {
    try {
      await stream.read(opened);
    } catch (error) {
      if (!failures) ended = now();
      if (!lost && !document.hidden) say('the connection to the daemon is lost');
      if (!document.hidden) lost ||= now();
      why = error.status ? capital(error.message) : 'No answer from the daemon';
      retryAt = now() + Math.max(error.retry || 0, Math.min(0.5 * 2 ** failures++, 5) * (0.8 + 0.4 * Math.random()));
      if (error.status === 401) wantToken();
      tellLink();
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
  }
}

// --- what is asked now and then

let due;
let isAsking = false;
let hasPast = false;
// whether the feed has what the history told
let hasFeed = false;
const askAll = () => {
  due = { peers: 0, status: 0, past: 0, far: 0 };
};

async function askDue() {
  if (isAsking || retryAt === Infinity || document.hidden) return;
  isAsking = true;
  const began = now();
  try {
    if (began >= due.status) {
      due.status = began + 5;
      const status = await get('api/v1/status');
      drawNode(status);
      hasPast = status.history?.written || status.history?.bytes;
      seen = now();
    }
    if (began >= due.peers) {
      due.peers = began + 5;
      const { peers } = await get('api/v1/peers?all=1');
      takeAll(peers, began);
      // a big table is asked for less often
      due.peers = now() + Math.max(2, 10 * (now() - began), peers.length / 200);
    }
    if (hasPast && began >= due.past) {
      due.past = began + 60;
      await askPast(Date.now());
    }
    if (table.site && began >= due.far) {
      due.far = began + 5;
      const { peers } = await get(`api/v1/peers?all=1&site=${table.site}`);
      takeAll(peers.filter((peer) => peer.via), began, null, true);
      due.far = now() + Math.max(2, 10 * (now() - began), peers.length / 200);
    }
  } catch {
    // it is asked again; the stream tells that the daemon is gone
  }
  draw();
  isAsking = false;
}

async function askPast(asked) {
  const [history, availability] = await Promise.all(
    ['history', 'availability'].map((op) => get(`api/v1/${op}?since_s=${DAY}`)),
  );
  takePast(history, availability);
  if (!hasFeed) fillFeed(history, asked, now() - ended);
  hasFeed = true;
}

// --- token, theme, keys

function wantToken() {
  retryAt = Infinity;
  if (token) put(byId('entry-note'), 'The daemon does not accept that token.');
  setToken('');
  tellLink();
  byId('token').focus();
}

function setToken(text) {
  token = text;
  sessionStorage.setItem('token', text);
  byId('leave').hidden = !text;
  byId('token').value = '';
}

const THEMES = ['system', 'light', 'dark'];
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  put(byId('theme'), `Theme: ${theme}`);
  localStorage.setItem('theme', theme);
}

const on = (id, what, act) => byId(id).addEventListener(what, act);
on('theme', 'click', () => setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % 3]));
on('leave', 'click', () => {
  setToken('');
  location.reload();
});
on('entry', 'submit', (event) => {
  event.preventDefault();
  setToken(byId('token').value.trim());
  wake();
});
on('filter', 'input', () => setFilter(byId('filter').value));
on('peers', 'keydown', moveFocus);
on('site', 'change', () => chooseSite(byId('site').value));
on('more', 'click', () => {
  table.most += 300;
  draw();
});
on('doctor', 'click', () => examine(byId('doctor'), byId('report'), {}));
// A tab that nobody looks at holds no stream: a browser has few connections to a host, for all its tabs.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) stream.end();
  else if (retryAt < Infinity) retryAt = 0;
  askAll();
});
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target.tagName === 'INPUT' || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  byId('filter').focus();
});

document.documentElement.dataset.live = '';
byId('peers').replaceChildren();
byId('leave').hidden = !token;
setTheme(localStorage.getItem('theme') || 'system');
askAll();
drawControls();
setFilter(byId('filter').value);
follow();
setInterval(() => {
  for (const row of rows.values()) if (row.view) put(row.view.cells.heard, age(heard(row)));
  if (lost) tellLink();
  if (now() >= retryAt && !document.hidden) wake();
  askDue();
}, 250);
