// verify.js - checks a receipt in the reader's own browser, with WebCrypto: that the event's bytes
// have the hash that the receipt names (RFC 9162 §2.1.1), that this hash is in the tree whose root
// the checkpoint names (§2.1.3.2), and that the log's key signed that checkpoint (C2SP signed-note)
// and the receipt as a whole.
"use strict";
(() => {
  const text = new TextEncoder();
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const join = (...parts) => {
    const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    parts.reduce((at, p) => (out.set(p, at), at + p.length), 0);
    return out;
  };
  const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  const base64 = (data) => btoa(String.fromCharCode(...data));
  const same = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);

  // RFC 8785: members by UTF-16 code units, numbers as ECMAScript writes them.
  const canonical = (v) => {
    if (Array.isArray(v)) return "[" + v.map(canonical).join(",") + "]";
    if (v && typeof v === "object")
      return "{" + Object.keys(v).sort().map((k) => JSON.stringify(k) + ":" + canonical(v[k])).join(",") + "}";
    return JSON.stringify(v);
  };

  async function rootOf(leaf, index, size, path) {
    let fn = BigInt(index), sn = BigInt(size) - 1n, node = leaf;
    if (fn > sn) return null;
    for (const sibling of path) {
      if (sn === 0n) return null;
      if ((fn & 1n) === 1n || fn === sn) {
        node = await sha256(join(Uint8Array.of(1), sibling, node));
        while ((fn & 1n) === 0n && fn !== 0n) { fn >>= 1n; sn >>= 1n; }
      } else {
        node = await sha256(join(Uint8Array.of(1), node, sibling));
      }
      fn >>= 1n; sn >>= 1n;
    }
    return sn === 0n ? node : null;
  }

  // "name+id+key"
  function readKey(vkey) {
    const [name, id, key] = [vkey.slice(0, vkey.indexOf("+")), ...vkey.slice(vkey.indexOf("+") + 1).split(/\+(.*)/s)];
    const raw = bytes(key);
    if (raw[0] !== 1 || raw.length !== 33) throw new Error("key");
    return {name, id, raw: raw.slice(1)};
  }

  async function signed(signedText, lines, key) {
    const subtle = await crypto.subtle.importKey("raw", key.raw, {name: "Ed25519"}, false, ["verify"]);
    for (const line of lines) {
      const at = line.lastIndexOf(" ");
      if (line.slice(0, at) !== "\u2014 " + key.name) continue;
      const blob = bytes(line.slice(at + 1));
      const id = [...blob.slice(0, 4)].map((b) => b.toString(16).padStart(2, "0")).join("");
      if (id === key.id && await crypto.subtle.verify("Ed25519", subtle, blob.slice(4), text.encode(signedText)))
        return true;
    }
    return false;
  }

  // Which of the steps hold.
  async function verify(receipt, vkey) {
    const proof = receipt.proof, key = readKey(vkey);
    const leaf = bytes(proof.leaf);
    const event = same(await sha256(join(Uint8Array.of(0), bytes(proof.event))), leaf);
    const cut = proof.checkpoint.indexOf("\n\n") + 1;
    const body = proof.checkpoint.slice(0, cut), lines = proof.checkpoint.slice(cut + 1).split("\n");
    const [, size, root] = body.split("\n");
    const made = await rootOf(leaf, proof.seq, size, proof.hashes.map(bytes));
    const path = made !== null && same(made, bytes(root));
    const whole = structuredClone(receipt);
    delete whole.proof.signature;
    const hash = base64(await sha256(text.encode(canonical(whole))));
    const signature = await signed(body, lines, key) &&
      await signed("lov receipt 1\nsha256:" + hash + "\n", [proof.signature.trimEnd()], key);
    return {event, path, signature};
  }

  const box = document.getElementById("verify");
  if (!box) return;
  const result = box.querySelector(".result");
  box.classList.add("ready");
  box.querySelector("button").addEventListener("click", async () => {
    result.replaceChildren();
    const say = (what, tag, kind) => {
      const line = document.createElement(tag);
      line.textContent = what;
      if (kind) line.className = kind;
      return line;
    };
    try {
      const answer = await fetch(box.dataset.file, {redirect: "error"});
      const steps = await verify(await answer.json(), box.dataset.key);
      const good = Object.values(steps).every(Boolean);
      const list = document.createElement("ul");
      for (const [name, holds] of Object.entries(steps)) {
        const label = box.dataset["step" + name[0].toUpperCase() + name.slice(1)];
        list.append(say((holds ? "\u2713 " : "\u2717 ") + label, "li", holds ? "yes" : "no"));
      }
      result.dataset.good = String(good);
      result.append(say(good ? box.dataset.good : box.dataset.bad, "p", good ? "yes" : "no"), list);
    } catch (error) {
      result.dataset.good = "unknown";
      result.append(say(box.dataset.cannot, "p", "no"));
    }
  });
})();
