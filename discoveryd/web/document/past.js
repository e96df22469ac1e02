// The past: a strip of 24 hours for each peer, of the stays that the history tells, and the feed of events.

const DAY = 86400;
const CELLS = 96;
const MOST_EVENTS = 200;
// of a quarter of an hour the worst is shown
const LOOKS = ['', 'up', 'left', 'unknown', 'suspect', 'down'];
const ENDS = { left: 'left', down: 'down', restarted: 'suspect' };

// id -> what availability says, cells, and the last event
let pasts = new Map();
// the cells in which this node could not tell
let unwatched = [];

function paint(cells, from_s, until_s, look) {
  const cellOf = (age_s) => CELLS * (1 - Math.min(age_s / DAY, 1));
  const first = Math.floor(cellOf(from_s));
  const last = Math.max(Math.ceil(cellOf(until_s)), first + 1);
  for (let cell = first; cell < Math.min(last, CELLS); cell++) {
    if (LOOKS.indexOf(look) > LOOKS.indexOf(cells[cell])) cells[cell] = look;
  }
}

const none = () => Array(CELLS).fill('');

// Take the replies to history and availability of the last 24 hours.
function takePast(history, availability) {
  unwatched = none();
  for (const gap of history.absences) paint(unwatched, gap.start_s, gap.end_s ?? 0, 'unknown');
  pasts = new Map(availability.peers.map((peer) => [peer.id, { ...peer, cells: none() }]));
  // id -> when its next stay began: the newest is looked at first
  const after = new Map();
  for (const stay of history.stays.sort((one, other) => one.start_s - other.start_s)) {
    const { cells } = pasts.get(stay.id) || { cells: none() };
    const next = after.get(stay.id) ?? 0;
    paint(cells, stay.start_s, stay.end_s ?? 0, 'up');
    if (stay.end_s > next) paint(cells, stay.end_s, next, ENDS[stay.ended] || 'unknown');
    after.set(stay.id, stay.start_s);
  }
  for (const event of history.events) if (pasts.has(event.id)) pasts.get(event.id).last = event;
}

// Return the strip of a peer, null where nothing is remembered.
function strip(past) {
  if (!past) return null;
  const share = past.availability;
  const shown = share === null ? '' : share === 1 ? '100%' : `${(Math.floor(share * 1000) / 10).toFixed(1)}%`;
  const says = `Up ${shown || 'at times'} of the last 24 hours, ${number(past.downs, 'outage')}`;
  const drawn = make('svg', {
    viewBox: `0 0 ${CELLS} 9`,
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': says,
  });
  for (const look of LOOKS.slice(1)) drawn.append(bars(past.cells, look, look));
  drawn.append(bars(unwatched, 'unknown', 'unwatched'));
  return make('div', { title: `${says}; each bar is the worst of 15 minutes` }, drawn, shown);
}

const bars = (cells, look, shown) =>
  make('path', { class: shown, d: cells.map((cell, at) => (cell === look ? `M${at} 0h1v9h-1z` : '')).join('') });

// --- the feed

const LOOK_OF = { joined: 'up', recovered: 'up' };

function told(when, name, { event, reason }) {
  return make(
    'li',
    {},
    make('time', { datetime: when.toISOString(), class: 'note' }, timeText(when)),
    make('strong', {}, name),
    make('span', { class: LOOK_OF[event] || event }, event),
    make('span', {}, reason),
  );
}

function timeText(when) {
  const isToday = when.toDateString() === new Date().toDateString();
  return when.toLocaleString([], {
    hourCycle: 'h23',
    ...(isToday ? {} : { month: 'short', day: 'numeric' }),
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
}

// what the stream told: the newest may not be in the history yet
let live = [];

// Fill the feed with what the history told, which was asked for at a moment of the wall clock, and with what is newer.
// What came in a gap of the stream, so many seconds ago, was told by both. Of a peer that has not proved to be there,
// the stream alone tells: the history has no stay of its boot.
function fillFeed({ events, stays }, asked, gap) {
  const isRemembered = ({ peer }) => stays.some((stay) => stay.id === peer.id && stay.boot === peer.boot);
  const isKnown = ({ event, peer }) =>
    events.some((past) => past.id === peer.id && past.event === event && past.age_s < gap + 9);
  live = live.filter((one) => !isRemembered(one) || (one.when > asked - 1500 && !isKnown(one)));
  const entries = [
    ...events.map((one) => [new Date(one.at), one.name || one.id || 'this node', one]),
    ...live.map((one) => [one.when, labelOf(one.peer), one]),
  ].sort(([one], [other]) => one - other);
  byId('feed').replaceChildren();
  for (const entry of entries.slice(-MOST_EVENTS)) tell(...entry);
}

function feed(event) {
  live = [...live.slice(-MOST_EVENTS), { ...event, when: new Date() }];
  tell(new Date(), labelOf(event.peer), event);
}

function tell(...entry) {
  const list = byId('feed');
  list.prepend(told(...entry));
  if (list.childElementCount > MOST_EVENTS) list.lastElementChild.remove();
}
