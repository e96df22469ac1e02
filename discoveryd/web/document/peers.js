// The table: what is known of each peer, filtered, sorted, and drawn with as few changes as possible.

// "id boot" -> { key, peer, at, touched, reason, open, view }; the peer of another site has `via`
const rows = new Map();
// the site that is shown: empty for this one
const table = { words: [], state: '', sort: 'state', down: false, most: 300, site: '' };
const keyOf = (peer, boot = peer.boot) => `${peer.id} ${boot}`;
const now = () => performance.now() / 1000;
const heard = (row) => row.peer.last_heard_s + now() - row.at;
const trouble = (row) => troubleOf(row.peer, row.reason || pasts.get(row.peer.id)?.last?.reason, heard(row));
const nameOf = (row) => labelOf(row.peer).toLowerCase();
const RANK = { down: 0, suspect: 1, up: 4, left: 5 };

// Key, head, what it is sorted by (null for what is not known, which comes last), class.
const COLUMNS = [
  ['name', 'Name', nameOf],
  ['state', 'State', (row) => (row.peer.state === 'up' && trouble(row)[0] ? 2 : (RANK[row.peer.state] ?? 3)), 'why'],
  ['address', 'Address', (row) => row.peer.address.replace(/\d+/g, (digits) => digits.padStart(5, '0')), 'mono'],
  ['link', 'Link', (row) => row.peer.link],
  ['rtt', 'RTT', (row) => row.peer.rtt_ms, 'n'],
  ['loss', 'Loss', (row) => row.peer.loss, 'n'],
  ['hears', 'Hears us', (row) => row.peer.two_way],
  ['heard', 'Last heard', heard, 'n'],
  ['services', 'Services', null, 'chips'],
  ['tags', 'Tags', null, 'chips'],
  ['past', '24 hours', (row) => pasts.get(row.peer.id)?.availability ?? null, 'past'],
];

// --- what is known

function take(peer, reason, former) {
  const key = keyOf(peer);
  const row = rows.get(key) || { key };
  if (former) row.open ||= drop(keyOf(peer, former));
  rows.set(key, Object.assign(row, { peer, at: now(), touched: now() }, reason && { reason }));
  return row;
}

// Remove a row; return whether it was open.
function drop(key) {
  const row = rows.get(key);
  rows.delete(key);
  return row?.open;
}

const isFar = ({ peer }) => 'via' in peer;

// Take the list of all peers in some states, of this site or of others. What an event told after it was asked is newer.
function takeAll(peers, asked, states, far = false) {
  const listed = new Set(peers.map((peer) => keyOf(peer)));
  for (const [key, row] of [...rows])
    if (isFar(row) === far && !listed.has(key) && row.touched <= asked && (!states || states.includes(row.peer.state)))
      drop(key);
  for (const peer of peers) if (!(rows.get(keyOf(peer))?.touched > asked)) take(peer).touched = 0;
}

// --- filter and sort

// Return a test for one word of the filter: those of discoveryctl list, key=value for a tag, or any text.
function wordTest(word) {
  const [, field, value] = /^(name|state|tag|service|link):(.+)$/i.exec(word) || [];
  if (field === 'tag' || (!field && /^[^=]+=/.test(word))) {
    const [key, wanted] = (value || word).split(/=(.*)/);
    return ({ peer }) => Object.hasOwn(peer.tags, key) && (wanted === undefined || peer.tags[key] === wanted);
  }
  if (!field) return ({ peer }) => textOf(peer).includes(word.toLowerCase());
  const is = new RegExp(
    `^${value
      .replace(/[.+^${}()|\\[\]]/g, '\\$&')
      .replace(/\*/g, '.*')
      .replace(/\?/g, '.')}$`,
    'i',
  );
  const of = {
    name: (peer) => [labelOf(peer)],
    state: (peer) => [peer.state],
    link: (peer) => [peer.link],
    service: (peer) => peer.services.map((one) => one.name),
  }[field.toLowerCase()];
  return ({ peer }) => of(peer).some((one) => is.test(one));
}

const textOf = (peer) =>
  [
    labelOf(peer),
    peer.id,
    peer.state,
    peer.link,
    peer.site,
    peer.address,
    ...peer.addresses,
    ...peer.services.map(serviceText),
    ...pairs(peer.tags),
  ]
    .join('\n')
    .toLowerCase();
const order = (one, other) => (one < other ? -1 : Number(one > other));

function sorted(found) {
  const of = COLUMNS.find(([key]) => key === table.sort)[2];
  const sign = table.down ? -1 : 1;
  const values = new Map(found.map((row) => [row, of(row)]));
  return found.sort((one, other) => {
    const [first, second] = [values.get(one), values.get(other)];
    if ((first === null) !== (second === null)) return first === null ? 1 : -1;
    return sign * order(first, second) || order(nameOf(one), nameOf(other)) || order(one.key, other.key);
  });
}

// --- drawing

// A table of thousands is drawn a few times a second, however much happens.
let drawing = 0;
function draw() {
  drawing ||= setTimeout(() => {
    drawing = 0;
    drawNow();
  }, rows.size / 10);
}

function drawNow() {
  const { site } = table;
  const all = [...rows.values()].filter((row) => site === 'all' || (isFar(row) ? row.peer.site === site : !site));
  const found = all.filter((row) => table.words.every((test) => test(row)));
  for (const button of byId('states').children) {
    const { state } = button.dataset;
    const count = found.filter(({ peer }) => !state || peer.state === state).length;
    put(button.lastChild, `${state || 'all'} ${count}`);
    button.setAttribute('aria-pressed', table.state === state);
    button.hidden = !count && table.state !== state && state !== 'up';
  }
  const fitting = sorted(found.filter((row) => !table.state || row.peer.state === table.state));
  const shown = fitting.slice(0, table.most);
  const more = fitting.length - shown.length;
  const names = new Map();
  for (const row of all) names.set(nameOf(row), (names.get(nameOf(row)) || 0) + 1);
  place(shown.flatMap((row) => drawRow(row, names.get(nameOf(row)) > 1)));
  put(byId('count'), all.length ? `${shown.length} of ${all.length} shown` : 'No other node is seen yet.');
  byId('more').hidden = !more;
}

// Put the rows into their order. One that stays in its place is not touched, and the focus stays where it is.
function place(lines) {
  const body = byId('peers');
  const focus = document.activeElement;
  const wanted = new Set(lines);
  for (const line of [...body.children]) if (!wanted.has(line)) line.remove();
  let next = body.firstElementChild;
  for (const line of lines) {
    if (line === next) next = next.nextElementSibling;
    else body.insertBefore(line, next);
  }
  if (focus !== document.activeElement && body.contains(focus)) focus.focus({ preventScroll: true });
}

function drawRow(row, isAmbiguous) {
  const { peer } = row;
  const { line, cells, button } = (row.view ||= newView(row));
  const [why] = trouble(row);
  const hint = peer.kind === 'bare' ? 'bare' : isAmbiguous ? peer.id : '';
  line.className = ['down', 'left'].includes(peer.state) ? 'gone' : '';
  put(button, labelOf(peer));
  renew(cells.name, hint, () => [button, hint && make('small', {}, hint)]);
  renew(cells.state, `${peer.state}\n${why}`, () => [stateMark(peer.state), peer.state, why && make('small', {}, why)]);
  put(cells.address, peer.address + (peer.addresses.length > 1 ? ` +${peer.addresses.length - 1}` : ''));
  put(cells.link, peer.site || peer.link || 'routed');
  put(cells.rtt, peer.rtt_ms === null ? '' : `${peer.rtt_ms.toFixed(peer.rtt_ms < 10 ? 2 : 0)} ms`);
  put(cells.loss, peer.loss === null ? '' : `${Math.round(peer.loss * 100)}%`);
  put(cells.hears, { true: 'yes', false: 'no' }[peer.two_way] || '');
  renew(cells.services, JSON.stringify([peer.address, peer.services]), () =>
    peer.services.map((one) => serviceNode(peer, one)),
  );
  renew(cells.tags, JSON.stringify(peer.tags), () => pairs(peer.tags).map((tag) => make('span', {}, tag)));
  renew(cells.past, pasts.get(peer.id), () => [strip(pasts.get(peer.id))]);
  put(cells.heard, age(heard(row)));
  return row.open ? [line, drawMore(row, why)] : [line];
}

function serviceNode(peer, service) {
  const href = linkOf(peer, service);
  const text = serviceText(service);
  return href ? make('a', { href, target: '_blank', rel: 'noopener noreferrer' }, text) : make('span', {}, text);
}

function newView(row) {
  const button = make('button', { 'aria-expanded': 'false' });
  const cells = { name: make('th', { scope: 'row' }, button) };
  for (const [key, head, , look] of COLUMNS.slice(1)) cells[key] = make('td', { class: look, 'data-head': head });
  button.addEventListener('click', () => {
    row.open = !row.open;
    button.setAttribute('aria-expanded', row.open);
    draw();
  });
  return { line: make('tr', {}, ...Object.values(cells)), cells, button };
}

// --- one peer in detail

function drawMore(row, why) {
  const { peer, view } = row;
  const advice = trouble(row)[1];
  view.more ||= newMore(row);
  view.button.setAttribute('aria-expanded', 'true');
  renew(view.advice, why + advice, () => [
    why && make('strong', {}, `${capital(why)}. `),
    advice || 'Well: it is heard, and nothing looks wrong.',
  ]);
  const past = pasts.get(peer.id)?.last;
  const facts = [
    ['id', peer.id],
    ['boot', peer.boot && `${peer.boot}, ${number(peer.restarts, 'restart')} since first seen`],
    ['before', past && `${past.event} ${timeText(new Date(past.at))}: ${past.reason}`],
    ['addresses', peer.addresses.join(', ')],
    ['first seen', `${age(peer.first_seen_s)} ago`],
    ['site', isFar(row) && `${peer.site}, by the word of ${peer.via}`],
    ['announces', !isFar(row) && `${peer.interval_s ? `a HELLO each ${peer.interval_s}s` : 'plain HELLOs'}, valid ${peer.ttl_s}s`],
    ['services', peer.services.map((one) => [serviceText(one), ...pairs(one.tags)].join(' ')).join(', ')],
    ['sealed', peer.key ? `with the key ${peer.key}` : 'no'],
  ];
  renew(view.facts, JSON.stringify(facts), () => factNodes(facts));
  return view.more;
}

function newMore({ peer, view }) {
  const report = make('div', { class: 'report', hidden: true });
  const button = make('button', {}, 'Ask the doctor about it');
  Object.assign(view, { advice: make('p'), facts: make('dl', { class: 'facts' }) });
  // that is for a node of its own site
  button.hidden = 'via' in peer;
  button.addEventListener('click', () => examine(button, report, { peer: peer.boot || peer.id }));
  return make(
    'tr',
    { class: 'more' },
    make('td', { colspan: COLUMNS.length }, view.advice, view.facts, button, report),
  );
}

// --- heads, states, keys

function drawControls() {
  byId('heads').replaceChildren(
    ...COLUMNS.map(([key, label, of, look]) => {
      const button = of ? make('button', {}, label) : label;
      if (of) button.addEventListener('click', () => sortBy(key, table.sort === key && !table.down));
      return make('th', { id: `head-${key}`, scope: 'col', class: look }, button);
    }),
  );
  byId('states').append(
    ...['', ...Object.keys(GLYPHS)].map((state) => {
      const button = make('button', { 'data-state': state }, state && stateMark(state), make('span'));
      button.addEventListener('click', () => {
        table.state = state;
        draw();
      });
      return button;
    }),
  );
  sortBy(table.sort, table.down);
}

function sortBy(key, down) {
  byId(`head-${table.sort}`).removeAttribute('aria-sort');
  byId(`head-${key}`).setAttribute('aria-sort', down ? 'descending' : 'ascending');
  Object.assign(table, { sort: key, down });
  draw();
}

function setFilter(text) {
  table.words = text.split(/\s+/).filter(Boolean).map(wordTest);
  draw();
}

// Arrow keys, Home and End go from name to name; Escape closes what is open.
function moveFocus(event) {
  const buttons = [...byId('peers').querySelectorAll('th button')];
  const at = buttons.indexOf(event.target);
  const to = {
    ArrowDown: Math.min(at + 1, buttons.length - 1),
    ArrowUp: Math.max(at - 1, 0),
    Home: 0,
    End: buttons.length - 1,
  }[event.key];
  if (at < 0) return;
  if (to !== undefined) {
    event.preventDefault();
    buttons[to].focus();
  }
  if (event.key === 'Escape' && event.target.getAttribute('aria-expanded') === 'true') event.target.click();
}
