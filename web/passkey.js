// passkey.js - asks the browser for a passkey (W3C Web Authentication), puts what it says into the
// form, and sends that. Passkeys are bound to a name, so on a bare address there are none.
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  const add = (form, name, value) => {
    const field = document.createElement("input");
    field.type = "hidden";
    field.name = name;
    field.value = value;
    form.append(field);
  };

  async function make(form) {
    const {rp, challenge, name, company} = form.dataset;
    const made = await navigator.credentials.create({publicKey: {
      rp: {id: rp, name: company}, challenge: bytes(challenge),
      user: {id: crypto.getRandomValues(new Uint8Array(32)), name, displayName: name},
      pubKeyCredParams: [-7, -8, -257].map((alg) => ({type: "public-key", alg})),
      authenticatorSelection: {residentKey: "required", userVerification: "required"}, attestation: "none"}});
    add(form, "client", text(made.response.clientDataJSON));
    add(form, "attestation", text(made.response.attestationObject));
  }

  async function use(form) {
    const {rp, challenge} = form.dataset;
    const got = await navigator.credentials.get({publicKey: {
      rpId: rp, challenge: bytes(challenge), userVerification: "required"}});
    add(form, "id", text(got.rawId));
    add(form, "client", text(got.response.clientDataJSON));
    add(form, "data", text(got.response.authenticatorData));
    add(form, "signature", text(got.response.signature));
  }

  if (!window.PublicKeyCredential || /^[\d.]+$|:/.test(location.hostname)) return;
  for (const form of document.querySelectorAll("form.passkey")) {
    form.classList.add("ready");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await (form.dataset.use === "create" ? make(form) : use(form));
      } catch (error) {
        return; // they thought better of it, or the browser has said what is wrong
      }
      form.submit();
    });
  }
})();
