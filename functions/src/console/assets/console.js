// Updates the open page when its content changes, and opens links of BlueKing ITSM. All pages also work without
// this script.

const body = document.body;
const RETRY_MS = 1000;
let version = body.dataset.version;
let source = null;
let polling = null;

// A link of BlueKing ITSM contains the ticket id after the character #, which the browser never sends to the server.
function openBlueKingLink() {
  const match = /^#\/ticket\/detail(?:\/iframe)?\?(?:.*&)?id=(\d+)/.exec(location.hash);
  if (!match) return;
  const path = `/tickets/${match[1]}`;
  const next = document.querySelector('#login input[name=next]');
  if (next) next.value = path;
  else location.replace(path);
}

// The page that shows a rejected form has the address of the form. A reload, a copied link and an update need the
// address of the page.
function useOwnAddress() {
  const here = document.querySelector('form[action="/language"] input[name=next]');
  if (body.dataset.live && here && here.value.split('?')[0] !== location.pathname) history.replaceState(null, '', here.value);
}

function showConnection(isConnected) {
  document.getElementById('disconnected').hidden = isConnected;
}

// The fields into which a person has entered text, by the target of their form and their name.
function entered() {
  const fields = new Map();
  for (const field of document.querySelectorAll('main textarea, main input:not([type=hidden]):not([type=password])')) {
    // A text in a textarea was entered, even if the server sent the text back with a rejected form.
    if (field.value !== field.defaultValue || (field.value && field.tagName === 'TEXTAREA')) {
      const label = document.querySelector(`label[for="${field.id}"]`);
      fields.set(field.id, { value: field.value, label: label ? label.textContent : field.name });
    }
  }
  return fields;
}

// The hidden fields that stay as long as the page is open: the content that the person saw when the page was opened,
// and the code that makes a repeated form the same command. The key is the target of the form and its node.
function lasting(root) {
  const fields = new Map();
  for (const form of root.querySelectorAll('form[action]')) {
    const node = form.querySelector('input[name=node]');
    for (const field of form.querySelectorAll('input[name=seen], input[name=once]')) {
      fields.set(`${form.getAttribute('action')} ${node ? node.value : ''} ${field.name}`, field);
    }
  }
  return fields;
}

// Shows a text that the person entered but can no longer send, so that the text is not lost.
function keep(text) {
  const box = document.createElement('div');
  box.className = 'message';
  box.setAttribute('role', 'alert');
  const hint = document.createElement('p');
  hint.textContent = body.dataset.lost;
  const quote = document.createElement('blockquote');
  quote.textContent = text;
  box.append(hint, quote);
  document.getElementById('main').prepend(box);
}

// Loads the page again and replaces its content. Entered texts, the focus and the scroll position stay.
async function refresh() {
  const response = await fetch(location.href, { headers: { accept: 'text/html' }, redirect: 'follow' });
  if (response.status >= 500 || response.status === 429) throw new Error(String(response.status));
  if (new URL(response.url).pathname !== location.pathname) {
    location.reload();
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  const [from, to] = [page.getElementById('main'), document.getElementById('main')];
  if (!from || !to) return;
  // The start page shows the login form after the end of the session.
  if (page.getElementById('login')) {
    location.reload();
    return;
  }
  const fields = entered();
  const focused = document.activeElement && document.activeElement.id;
  const selection = focused && 'selectionStart' in document.activeElement
    ? [document.activeElement.selectionStart, document.activeElement.selectionEnd] : null;
  const kept = [...to.querySelectorAll(':scope > .message blockquote')].map((quote) => quote.textContent);
  // A message about an action of the person belongs to the page that is shown, and not to its new content.
  const notices = [...to.querySelectorAll(':scope > .message')].filter((box) => !box.querySelector('blockquote'));
  for (const notice of from.querySelectorAll(':scope > .message')) notice.remove();
  const before = lasting(to);
  for (const [key, field] of lasting(from)) if (before.has(key)) field.value = before.get(key).value;
  to.replaceChildren(...notices, ...from.childNodes);
  for (const text of kept) keep(text);
  for (const [id, field] of fields) {
    const target = document.getElementById(id);
    if (target) target.value = field.value;
    else keep(`${field.label}: ${field.value}`);
  }
  const target = focused && document.getElementById(focused);
  if (target && target !== document.activeElement) {
    target.focus({ preventScroll: true });
    if (selection && target.setSelectionRange) target.setSelectionRange(...selection);
  }
  document.title = page.title;
  const updated = document.getElementById('updated');
  updated.textContent = '';
  updated.textContent = updated.dataset.text;
  body.dataset.updates = String(Number(body.dataset.updates || 0) + 1);
}

function address() {
  return `${body.dataset.live}&version=${encodeURIComponent(version)}`;
}

// One refresh at a time. A change during a refresh causes another refresh.
let refreshing = null;
let wanted = null;
async function changed(to) {
  wanted = to;
  if (refreshing) return;
  refreshing = true;
  while (wanted !== null) {
    const current = wanted;
    wanted = null;
    try {
      await refresh();
      version = current;
    } catch {
      // The version is still the old one, so the new connection reports the change again.
      reconnect();
    }
  }
  refreshing = null;
}

// Connects again after a pause. If the session has ended or the page is no longer available, loads the page again.
function reconnect() {
  showConnection(false);
  disconnect();
  setTimeout(async () => {
    // A stream has no status for scripts. The answer to a poll has one.
    if (body.dataset.transport === 'poll') return connect();
    const probe = new AbortController();
    try {
      const { status } = await fetch(address(), { signal: probe.signal });
      probe.abort();
      if (status === 403 || status === 404) return location.reload();
    } catch {
      // The connection is still lost, and `connect` tries again.
    }
    connect();
  }, RETRY_MS);
}

function stream() {
  source = new EventSource(address());
  source.addEventListener('open', () => showConnection(true));
  source.addEventListener('change', (event) => changed(event.data));
  // The browser would connect again with the old version, so this script connects with the current one.
  source.addEventListener('error', reconnect);
}

async function poll() {
  const current = (polling = new AbortController());
  while (polling === current) {
    try {
      const response = await fetch(address(), { signal: current.signal });
      if (response.status === 403 || response.status === 404) return location.reload();
      if (!response.ok) throw new Error(String(response.status));
      showConnection(true);
      const answer = await response.json();
      if (answer.version !== version) await changed(answer.version);
    } catch {
      if (polling !== current) return;
      showConnection(false);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function connect() {
  if (!body.dataset.live || document.hidden || source || polling) return;
  if (body.dataset.transport === 'poll') poll();
  else stream();
}

// A browser opens only few connections to one server. A page that nobody sees therefore closes its connection.
function disconnect() {
  if (source) source.close();
  source = null;
  if (polling) polling.abort();
  polling = null;
}

document.addEventListener('visibilitychange', () => (document.hidden ? disconnect() : connect()));
addEventListener('pagehide', disconnect);
addEventListener('pageshow', connect);
addEventListener('hashchange', openBlueKingLink);
useOwnAddress();
openBlueKingLink();
connect();
