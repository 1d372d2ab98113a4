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
    to.src = from.src;
    to.alt = from.alt;
    to.className = from.className;
    // The largest whole multiple of the pixels that fits: no pixel wider than its neighbour.
    const fit = Math.min((innerWidth * 0.92) / from.naturalWidth, (innerHeight * 0.8) / from.naturalHeight);
    to.width = from.naturalWidth * (fit > 1 ? Math.min(Math.floor(fit), 24) : fit);
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
      act.disabled = true; // until the page is drawn anew; one click is one turn
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

  // Gradio labels a message with its whole source, tags included.
  new MutationObserver(() => {
    for (const message of document.querySelectorAll('#aw-chat [data-testid][aria-label*="<"]'))
      message.setAttribute("aria-label", message.dataset.testid === "user" ? "You" : "Artwright");
  }).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["aria-label"] });
})();
