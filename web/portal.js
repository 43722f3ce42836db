// portal.js - what is live: times in the reader's own zone, and activity as it happens. Every page
// works without it.
"use strict";
(() => {
  const language = document.documentElement.lang;
  const showTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.textContent = at.toLocaleString(language, {dateStyle: "long", timeStyle: "short"});
      time.title = time.dateTime;
    }
  };
  showTimes(document);
  const here = document.querySelector(".menu [aria-current]");
  if (here) here.closest("nav").scrollLeft = here.offsetLeft - 16;

  const live = document.getElementById("live");
  if (!live || !live.dataset.after || !window.EventSource) return;
  let last = Number(live.dataset.after);
  const stream = new EventSource("/portal/activity/stream?after=" + last);
  stream.addEventListener("activity", async (event) => {
    const seq = Number(event.data);
    if (!(seq > last)) return;
    const answer = await fetch(location.href, {redirect: "error", headers: {"Lov-Live": "1"}});
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (!fresh) return;
    const known = new Set([...live.querySelectorAll("li[id]")].map((item) => item.id));
    live.replaceChildren(...fresh.childNodes);
    for (const item of live.querySelectorAll("li[id]"))
      if (!known.has(item.id)) item.classList.add("new");
    last = seq;
    showTimes(live);
  });
})();
