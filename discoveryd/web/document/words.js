// Words: texts and elements. What a peer says of itself is hostile: it becomes text nodes, and never markup.

const byId = (id) => document.getElementById(id);

// Return a text with what could lie about its order, or is not seen, written as a code.
const clean = (text) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);

function make(tag, attributes = {}, ...children) {
  const space = `http://www.w3.org/${['svg', 'path'].includes(tag) ? '2000/svg' : '1999/xhtml'}`;
  const made = document.createElementNS(space, tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  made.append(...children.filter((child) => child).map((child) => (typeof child === 'string' ? clean(child) : child)));
  return made;
}

// A text that stays as it is is not touched: nothing is laid out, and a selection stays.
function put(node, text) {
  const shown = clean(text);
  if (node.textContent !== shown) node.textContent = shown;
}

// Give an element other children where what it shows has changed.
const drawn = new WeakMap();
function renew(node, shown, nodes) {
  if (drawn.has(node) && drawn.get(node) === shown) return;
  drawn.set(node, shown);
  node.replaceChildren(...nodes().filter((one) => one));
}

const number = (count, what) => `${count} ${what}${count === 1 ? '' : 's'}`;

function age(seconds) {
  const s = Math.max(seconds, 0);
  if (s < 9.95) return `${s.toFixed(1)}s`;
  if (s < 60) return `${Math.floor(s)}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m`;
  return s < 172800 ? `${Math.floor(s / 3600)}h` : `${Math.floor(s / 86400)}d`;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
const pairs = (tags) => Object.entries(tags).map(([key, value]) => (value ? `${key}=${value}` : key));
const labelOf = (peer) => (peer.kind === 'bare' ? peer.address : peer.name || peer.id);
const serviceText = ({ name, port, proto }) => name + (port ? `:${port}` : '') + (proto === 'tcp' ? '' : `/${proto}`);
const factNodes = (facts) =>
  facts.filter(([, value]) => value).map(([key, value]) => make('div', {}, make('dt', {}, key), make('dd', {}, value)));

const WEB = [80, 3000, 8000, 8008, 8080, 8081, 8088, 8123, 8888, 9090];
const WEB_TLS = [443, 8443, 9443];

// Return the address of a service that a browser may open, built of its peer's address and its port alone; else null.
function linkOf(peer, service) {
  const isTls = WEB_TLS.includes(service.port) || /\bhttps\b/i.test(service.name);
  const isWeb = isTls || WEB.includes(service.port) || /\b(http|www|web)\b/i.test(service.name);
  if (!isWeb || service.proto !== 'tcp' || !service.port) return null;
  const host = peer.address.includes(':') ? `[${peer.address}]` : peer.address;
  try {
    const url = new URL(`${isTls ? 'https' : 'http'}://${host}:${service.port}/`);
    if (/^\/[^/]/.test(service.tags.path)) url.pathname = service.tags.path;
    return url.href;
  } catch {
    // an address with a zone
    return null;
  }
}

// Return what is wrong with a peer, in a clause, and what to do about it; two empty texts where nothing is.
function troubleOf(peer, reason, silent) {
  if (peer.state === 'suspect')
    return [
      `silent for ${age(silent)}, being asked`,
      'Wait: with its first answer it is up again; without one it is down soon.',
    ];
  if (peer.state === 'down')
    return [
      reason || 'nothing of it arrives',
      'Look whether the machine runs. If it does, the way from there is broken: ask the doctor.',
    ];
  if (peer.state === 'left')
    return [reason || 'said goodbye', 'Its daemon was stopped in an orderly way: start it again if it is missed.'];
  if (peer.state === 'unknown') return ['its site is silent', 'On a node there run discoveryctl sites.'];
  if (peer.state !== 'up') return ['', ''];
  if (peer.clone) return ['another node has its id', 'On one of the two run discoveryd reset-id, then restart it.'];
  if (peer.two_way === false)
    return [
      'does not hear this node',
      'A firewall there may drop what comes in: run discoveryctl doctor on that machine.',
    ];
  if (peer.hellos_arrive === false)
    return [
      'its broadcasts do not arrive',
      'It answers when asked: something between drops broadcasts. Else name this machine under hello.seeds there.',
    ];
  if (peer.shares_address)
    return ['shares its address', 'Another live node has one of its addresses: give each its own.'];
  if (peer.loss >= 0.1) return ['many of its HELLOs are lost', 'Look at the Wi-Fi, the cable or the load on the way.'];
  return ['', ''];
}

const GLYPHS = { up: '●', suspect: '◐', unknown: '?', down: '✕', left: '○' };
const stateMark = (state) =>
  make('span', { class: `mark ${GLYPHS[state] ? state : 'unknown'}`, 'aria-hidden': 'true' }, GLYPHS[state] || '?');
