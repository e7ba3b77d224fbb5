// Shows why the server refused a write, in every page of MLflow, until the reader closes it. MLflow's own message leaves
// after some seconds, has no links, and is missing after the edit of a description, which then looks as if it was saved.
"use strict";
(() => {
  // this file is PREFIX/elp/static/mlflow-refusal.js
  const prefix = new URL("../..", document.currentScript.src).pathname.replace(/\/$/, "");
  // in the reader's language; the message of the server is in English
  const words = document.currentScript.dataset;
  const send = window.fetch;

  function link(address, text) {
    const made = document.createElement("a");
    made.href = prefix + address;
    made.textContent = text;
    made.style.cssText = "color: #0e538b; text-decoration: underline; overflow-wrap: anywhere";
    return made;
  }

  function sentence(message) {
    const made = document.createElement("p");
    made.lang = "en";
    made.style.cssText = "margin: 4px 0 8px; overflow-wrap: anywhere";
    // a path ends before the punctuation that follows it
    for (const part of message.split(/(\/elp\/[\w./?=&-]*\w)/)) {
      made.append(part.startsWith("/elp/") ? link(part, part) : part);
    }
    return made;
  }

  function show(message) {
    document.getElementById("elp-refusal")?.remove();
    const box = document.createElement("div");
    box.id = "elp-refusal";
    box.lang = words.language;
    box.setAttribute("role", "alert");
    // above the dialogs, which stay open behind it
    box.style.cssText =
      "position: fixed; z-index: 100000; left: 50%; bottom: 16px; transform: translateX(-50%); width: min(640px, 94vw); " +
      "padding: 12px 16px; border: 2px solid #a3201a; border-radius: 8px; background: #ffffff; color: #11171c; " +
      "font: 14px/1.5 system-ui, sans-serif; pointer-events: auto; box-shadow: 0 4px 16px rgb(0 0 0 / 30%)";
    const heading = document.createElement("strong");
    heading.textContent = words.heading;
    const slot = /^#\/models\/elp\.([a-z0-9-]+)\.([a-z0-9]+)/.exec(location.hash);
    const place = slot ? `${slot[1]}/${slot[2]}` : "";
    const where = place ? link(`/elp/slots/${place}`, words.slot.replace("SLOT", place)) : link("/elp/", words.console);
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = words.close;
    close.style.cssText =
      "margin-left: 16px; padding: 4px 12px; border: 1px solid #4c5963; border-radius: 4px; background: #ffffff; color: #11171c";
    close.addEventListener("click", () => box.remove());
    box.append(heading, sentence(message), where, close);
    document.body.append(box);
  }

  window.fetch = async (...asked) => {
    const answer = await send.apply(window, asked);
    const method = asked[1]?.method ?? asked[0]?.method ?? "GET";
    if (answer.status === 403 && method.toUpperCase() !== "GET") {
      // an answer without JSON is not from the guard
      answer.clone().json().then(({ error_code: code, message }) => {
        if (code === "PERMISSION_DENIED") show(String(message));
      }, () => {});
    }
    return answer;
  };
})();
