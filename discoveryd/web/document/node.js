// This node: what it is, what looks wrong, its links, and the doctor.

function headlineOf(counts, findings) {
  const others = Object.entries(counts).filter(([state, count]) => count && state !== 'up');
  const parts = [`${number(counts.up, 'peer')} up`, ...others.map(([state, count]) => `${count} ${state}`)];
  const faults = findings.filter((one) => one.severity !== 'low').length;
  return `${parts.join(', ')}. ${faults ? `${number(faults, 'fault')} found.` : 'Nothing looks wrong.'}`;
}

function drawNode(status) {
  const { node, hello, security, version } = status;
  put(byId('name'), node.name);
  const headline = headlineOf(status.peers, status.findings);
  put(byId('headline'), headline);
  document.title = `${node.name}: ${headline}`;
  const facts = [
    ['id', node.id],
    ['realm', node.realm],
    ['version', version],
    ['running for', age(status.uptime_s)],
    ['HELLO', `each ${hello.interval_s}s, valid ${hello.ttl_s}s, UDP ${hello.port}`],
    ['sealing', security.mode === 'off' ? 'off' : `${security.mode}, key ${security.send_with}`],
    ['services', node.services.map(serviceText).join(', ')],
    ['tags', pairs(node.tags).join(', ')],
  ];
  renew(byId('facts'), JSON.stringify(facts), () => factNodes(facts));
  drawFindings(status.findings);
  drawLinks(status);
  drawSites(status.sites);
}

// Offer the sites that there are; without any there is no choice.
function drawSites(sites) {
  const choice = byId('site');
  choice.hidden = !sites;
  if (!sites) return chooseSite('');
  const others = sites.sites.map(({ name, state }) => [name, `${name}: ${state}`]);
  const offered = [['', `${sites.site}, this site`], ...others, ['all', 'All sites']];
  renew(choice, JSON.stringify(offered), () => offered.map(([value, text]) => make('option', { value }, text)));
  choice.value = table.site;
  if (!choice.value) chooseSite('');
}

function chooseSite(site) {
  table.site = site;
  due.far = 0;
  draw();
}

// Show the findings; as long as they say the same, a remedy that is selected stays so.
function drawFindings(findings) {
  const list = byId('findings');
  renew(list, findings.map((one) => one.text).join(), () =>
    findings.length ? findings.map(findingNode) : [make('li', { class: 'well' }, 'Nothing looks wrong.')],
  );
  findings.forEach((one, place) => put(list.children[place].querySelector('small'), weightOf(one)));
}

function findingNode(finding) {
  const head = make('h3', {}, capital(finding.title), make('small', {}, weightOf(finding)));
  const remedies = finding.remedy.map((one) => make('code', {}, one));
  return make('li', { class: finding.severity }, head, make('p', {}, finding.text), ...remedies);
}

const weightOf = ({ severity, certainty, since_s }) =>
  `${severity}, ${certainty}${since_s === null ? '' : `, since ${age(since_s)}`}`;

// --- links

function linkWords(link) {
  if (link.last_error) return ['fault', `Cannot send: ${link.last_error}`];
  if (link.misses_echo)
    return ['fault', 'What it sends does not come back: a firewall of this machine drops what comes in'];
  if (link.arp === false) return ['fault', 'ARP is off: nothing for one machine arrives'];
  if (link.last_heard_s === null) return ['unknown', 'Nobody is heard here yet'];
  return ['ok', `Well, last heard ${age(link.last_heard_s)} ago`];
}

const SEEDS = {
  answers: ['ok', 'Answers'],
  silent: ['suspect', 'Does not answer'],
  here: ['ok', 'Is this node'],
  resolving: ['unknown', 'Its name is looked up'],
  unresolved: ['fault', 'Its name does not resolve'],
};

const newLine = () =>
  make(
    'tr',
    {},
    make('th', { scope: 'row' }),
    ...[[, 'mono'], ['Sent', 'n'], ['Heard', 'n'], ['Echoed', 'n'], []].map(([head, look]) =>
      make('td', { class: look, 'data-head': head }),
    ),
  );

function drawLinks(status) {
  const lines = status.links.map((link) => [
    `${link.name}${link.family === 'ipv6' ? ' (IPv6)' : ''}`,
    `${link.address}/${link.prefix}`,
    link.sent,
    link.received,
    link.echoed,
    linkWords(link),
  ]);
  for (const one of status.unlinked || [])
    lines.push([
      one.name,
      `${one.address}/${one.prefix}`,
      '',
      '',
      '',
      one.reason === 'duplicate'
        ? ['fault', 'Another machine has this address']
        : ['unknown', 'No broadcast here: it serves seeds only'],
    ]);
  for (const one of status.seeds || []) {
    const [look, words] = SEEDS[one.state] || ['unknown', one.state];
    lines.push(['seed', one.seed, '', '', '', [look, one.error ? `${words}: ${one.error}` : words]]);
  }
  if (!lines.length) lines.push(['none', '', '', '', '', ['fault', 'No interface can be used: see the findings']]);
  const body = byId('links');
  while (body.rows.length > lines.length) body.deleteRow(-1);
  lines.forEach((cells, place) => {
    const row = body.rows[place] || body.appendChild(newLine());
    cells.forEach((cell, column) =>
      put(row.cells[column], column === 5 ? cell[1] : typeof cell === 'number' ? cell.toLocaleString('en') : cell),
    );
    row.cells[5].className = cells[5][0];
  });
}

// --- the doctor

async function examine(button, report, question) {
  const label = button.textContent;
  button.disabled = true;
  put(button, 'Looking…');
  report.hidden = false;
  try {
    const found = await post('api/v1/doctor', question);
    const count = found.findings.length;
    const words = count ? `The doctor found ${number(count, 'thing')}.` : 'The doctor found no fault.';
    // those of this node stand above
    const list = make('ul', { class: 'findings' }, ...(question.peer ? found.findings.map(findingNode) : []));
    report.replaceChildren(
      make('p', {}, make('strong', {}, words), make('small', {}, ` ${timeText(new Date())}`)),
      make('ul', { class: 'checks' }, ...found.checks.map(checkNode)),
      list,
    );
    say(`${words} ${found.findings.map((one) => one.title).join('. ')}`);
    due.status = 0;
  } catch (error) {
    const again = error.retry ? ` Try again in ${number(error.retry, 'second')}.` : '';
    report.replaceChildren(make('p', {}, `The doctor did not answer: ${error.message}.${again}`));
    say(report.textContent);
    if (error.status === 401) wantToken();
  }
  button.disabled = false;
  put(button, label);
  button.focus();
}

function checkNode({ result, text }) {
  const look = result === 'note' ? 'suspect' : result;
  return make('li', {}, make('span', { class: look }, result), make('span', {}, text));
}
