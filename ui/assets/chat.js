// The picture viewer (a click on a picture enlarges it), Copy buttons, buttons that ask anew, Escape for Stop, and
// speakers' names for screen readers.
(() => {
  let shots = [], at = 0, dialog, opener;

  const build = () => {
    dialog = document.createElement("dialog");
    dialog.className = "aw-viewer";
    dialog.setAttribute("aria-label", "Enlarged picture");
    dialog.innerHTML =
      '<img alt=""><div class="aw-bar"><button type="button" data-go="-1" aria-label="Previous picture">‹</button>' +
      '<span class="aw-caption" aria-live="polite"></span>' +
      '<button type="button" data-go="1" aria-label="Next picture">›</button>' +
      '<a class="aw-save">Download</a><button type="button" data-close>Close</button></div>';
    dialog.addEventListener("click", (event) => {
      const go = event.target.dataset.go;
      if (go) show(at + Number(go));
      else if (event.target === dialog || "close" in event.target.dataset) dialog.close();
    });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") show(at - 1);
      if (event.key === "ArrowRight") show(at + 1);
    });
    dialog.addEventListener("close", () => opener && opener.focus());
    document.body.append(dialog);
  };

  const show = (index) => {
    at = (index + shots.length) % shots.length;
    const from = shots[at].querySelector("img"), to = dialog.querySelector("img");
    to.onload = () => {
      // The largest whole multiple of the pixels that fits: no pixel wider than its neighbour.
      const fit = Math.min((innerWidth * 0.92) / to.naturalWidth, (innerHeight * 0.8) / to.naturalHeight);
      to.width = to.naturalWidth * (fit > 1 ? Math.min(Math.floor(fit), 24) : fit);
    };
    to.removeAttribute("width");
    to.src = from.src; // which may still be loading
    to.alt = from.alt;
    to.className = from.className;
    dialog.querySelector(".aw-caption").textContent = from.alt;
    const save = dialog.querySelector(".aw-save");
    save.href = shots[at].href;
    save.download = decodeURIComponent(shots[at].pathname.split("/").pop()).slice(0, 12) + ".png";
    for (const button of dialog.querySelectorAll("[data-go]")) button.hidden = shots.length < 2;
  };

  document.addEventListener("click", (event) => {
    const shot = event.target.closest(".aw-shot");
    if (shot && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (!dialog) build();
      opener = shot;
      shots = [...shot.parentElement.querySelectorAll(".aw-shot")];
      show(shots.indexOf(shot));
      dialog.showModal();
    }
    const act = event.target.closest(".aw-act");
    if (act && window.artwrightAct) {
      if (act.hasAttribute("aria-disabled")) return; // a double click is one turn
      act.setAttribute("aria-disabled", "true"); // `disabled` would drop the keyboard's focus
      setTimeout(() => act.removeAttribute("aria-disabled"), 1500);
      const [request, ...tool] = act.value.split(" ");
      window.artwrightAct({ request, tool: tool.join(" ") });
    }
    const copy = event.target.closest(".aw-copy");
    if (copy) {
      const said = copy.previousElementSibling;
      const names = [...said.querySelectorAll("li")].map((item) => item.textContent);
      navigator.clipboard.writeText(names.length ? names.join("\n") : said.textContent).then(() => {
        copy.textContent = "Copied";
        setTimeout(() => (copy.textContent = "Copy"), 1500);
      });
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !(dialog && dialog.open)) document.querySelector("#aw-box .stop-button")?.click();
  });

  // Gradio draws an answer anew at every change of it. Its old elements are kept and brought up to date instead, so
  // that the focus, an unfolded line and the button under the mouse outlive the change.
  let focused, pressed, lost = false, clicked = false;
  const CONTROLS = "#aw-chat :is(button, a, summary)";

  const update = (old, fresh) => {
    for (const name of old.getAttributeNames())
      if (name !== "open" && name !== "aria-disabled" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const had = [...old.childNodes], wanted = [...fresh.childNodes];
    wanted.forEach((one, i) => {
      const was = had[i];
      if (!was) old.append(one);
      else if (was.nodeName !== one.nodeName) was.replaceWith(one);
      else if (one.nodeType === Node.ELEMENT_NODE) update(was, one);
      else if (was.data !== one.data) was.data = one.data;
    });
    for (const was of had.slice(wanted.length)) was.remove();
  };

  const keep = (records) => {
    const answers = (nodes) => [...nodes].filter((node) => node.matches?.(".aw-answer"));
    const gone = new Map(records.flatMap((one) => answers(one.removedNodes).map((node) => [one.target, node])));
    for (const record of records)
      for (const fresh of answers(record.addedNodes)) {
        const old = gone.get(record.target);
        if (!old || old === fresh || old.isConnected) continue;
        lost ||= old.contains(pressed);
        update(old, fresh);
        fresh.replaceChildren(...old.childNodes);
        if (document.activeElement === document.body && fresh.contains(focused)) focused.focus({ preventScroll: true });
      }
  };

  document.addEventListener("focusin", (event) => (focused = event.target));
  document.addEventListener("mousedown", (event) => {
    pressed = event.target.closest(CONTROLS);
    if (!pressed) focused = null;
    lost = clicked = false;
  });
  document.addEventListener("click", () => (clicked = true), true);
  document.addEventListener("mouseup", (event) => {
    const button = pressed; // a browser makes no click of a press whose element was moved before the release
    if (lost && button === event.target.closest(CONTROLS)) setTimeout(() => clicked || button.click());
    pressed = null;
  });

  new MutationObserver((records) => {
    keep(records);
    // Gradio labels a message with its whole source, tags included.
    for (const message of document.querySelectorAll('#aw-chat [data-testid][aria-label*="<"]'))
      message.setAttribute("aria-label", message.dataset.testid === "user" ? "You" : "Artwright");
  }).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["aria-label"] });
})();
