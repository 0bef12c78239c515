"use strict";
// The console of one container. It speaks zun.console.v1: binary messages are data, text messages are JSON.
(() => {
  const PIECE = 65536; // bytes of one message
  const FULL = 1 << 20; // bytes that may wait to be sent
  const TRIES = 5; // while the service can't be reached; the link stays good

  const element = (id) => document.getElementById(id);
  const params = new URLSearchParams(location.search.length > 1 ? location.search : location.hash.slice(1));
  const container = (params.get("uuid") || "").match(/^[0-9a-f-]{36}$/) ? params.get("uuid") : "";
  const isExec = params.has("exec_id");
  // The link is good once: it need not stay in the history.
  history.replaceState(null, "", location.pathname);

  const term = new Terminal({ cursorBlink: true, scrollback: 5000, fontFamily: "monospace", fontSize: 14, theme: { background: "#16181d" } });
  const fit = new FitAddon.FitAddon();
  term.loadAddon(fit);
  term.open(element("terminal"));
  fit.fit();

  let socket = null;
  let end = null;
  let tries = 0;

  const show = (state, text) => {
    document.body.dataset.state = state;
    element("state").textContent = text;
  };

  const notice = (title, text, withCommand) => {
    element("notice-title").textContent = title;
    element("notice-text").textContent = text;
    element("notice-command").textContent = withCommand ? another() : "";
    element("notice").hidden = false;
  };

  const another = () => isExec
    ? `openstack appcontainer exec --interactive ${container} sh`
    : `openstack appcontainer attach ${container}`;

  const spent = "A console link is good for one session. Open a new console from where you got this one: the dashboard, or the command line.";

  const address = (scheme) => {
    const url = new URL("../", location.href);
    url.search = params.toString();
    if (scheme) url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return url.href;
  };

  const sendSize = () => {
    element("terminal").dataset.size = `${term.rows} ${term.cols}`;
    if (socket && socket.readyState === WebSocket.OPEN) {
      socket.send(JSON.stringify({ resize: { rows: term.rows, columns: term.cols } }));
    }
  };

  // What is pasted may be long: it goes in pieces, and no faster than the network takes them.
  let queue = [];
  const pump = () => {
    while (queue.length && socket && socket.readyState === WebSocket.OPEN) {
      if (socket.bufferedAmount > FULL) {
        setTimeout(pump, 20);
        return;
      }
      const bytes = queue.shift();
      socket.send(bytes.subarray(0, PIECE));
      if (bytes.length > PIECE) queue.unshift(bytes.subarray(PIECE));
    }
  };
  const sendData = (bytes) => {
    queue.push(bytes);
    if (queue.length === 1) pump();
  };

  const encoder = new TextEncoder();
  term.onData((text) => sendData(encoder.encode(text)));
  term.onBinary((text) => sendData(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  term.onResize(sendSize);
  new ResizeObserver(() => fit.fit()).observe(element("terminal"));

  const told = (message) => {
    if (message.open) {
      term.options.convertEol = !message.open.tty;
      show("open", message.open.kind === "exec" ? "Connected" : "Connected. Press Enter if nothing shows.");
    } else if (message.end) {
      end = message.end;
    }
  };

  // Why there was no upgrade: a browser does not tell, but the same address without one does.
  const ask = async () => {
    try {
      const answer = await fetch(address(), { cache: "no-store", redirect: "error" });
      return { status: answer.status, text: (await answer.text()).trim() };
    } catch {
      return null;
    }
  };

  const refused = async () => {
    show("waiting", "Not connected");
    const answer = await ask();
    if (answer && answer.status !== 426 && answer.status !== 503) {
      show("refused", "Not connected");
      if (answer.status === 410) notice("This link is spent", spent, true);
      else notice("No console", answer.text.slice(0, 500), answer.status === 403);
      return;
    }
    const why = answer && answer.status === 503 ? answer.text.slice(0, 500) : "The console service can't be reached.";
    if (++tries < TRIES) {
      show("waiting", `${why} Trying again`);
      setTimeout(connect, 1000 * tries);
    } else {
      show("waiting", why);
      element("again").hidden = false;
    }
  };

  const ended = (event) => {
    const reason = (end && end.reason) || event.reason || "";
    if (end && (end.why === "exited" || end.why === "stopped" || end.why === "removed")) {
      const code = Number.isInteger(end.exit_code) ? ` Exit code ${end.exit_code}.` : "";
      show("ended", "Session ended");
      notice("Session ended", `${reason}${code} ${spent}`, end.why === "exited");
    } else {
      show("ended", "Connection lost");
      notice("The connection was lost", `${reason} ${spent}`.trim(), true);
    }
    term.options.cursorBlink = false;
    term.options.disableStdin = true;
  };

  const connect = () => {
    element("again").hidden = true;
    show("waiting", "Connecting");
    let opened = false;
    socket = new WebSocket(address(true), "zun.console.v1");
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      opened = true;
      fit.fit();
      sendSize();
      term.focus();
    };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") told(JSON.parse(event.data));
      else term.write(new Uint8Array(event.data));
    };
    socket.onclose = (event) => (opened ? ended(event) : refused());
  };

  element("again").onclick = () => { tries = 0; connect(); };
  element("name").textContent = container;
  if (container) document.title = `Console of ${container}`;
  if (params.get("token") && container) {
    connect();
  } else {
    show("refused", "No link");
    notice("No console", `This page needs a link with a token. ${spent}`, false);
  }
})();
