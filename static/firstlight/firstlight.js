/* The browser's side of the admin. Alpine's CSP build evaluates no globals: what templates name is registered here. */
(() => {
  "use strict";

  const remembered = (key, otherwise) => {
    const stored = window.localStorage.getItem(key);
    return stored === null ? otherwise : stored === "1";
  };

  document.addEventListener("alpine:init", () => {
    const Alpine = window.Alpine;
    /* Unfold's own components, from its app.js. */
    for (const name of ["theme", "searchForm", "searchDropdown"]) {
      Alpine.data(name, window[name]);
    }
    /* The state of the whole page: tabs and sidebar. `window` and `localStorage` stand in for what templates ask of them. */
    Alpine.data("page", (primaryTab) => ({
      activeTab: window.getCurrentTab() || primaryTab,
      sidebarMobileOpen: false,
      sidebarDesktopOpen: remembered("sidebarDesktopOpen", true),
      window: { location: { pathname: window.location.pathname, search: window.location.search } },
      localStorage: { setItem: (key, value) => window.localStorage.setItem(key, value) },
    }));
  });

  /* Login: the browser's own autofocus finds nothing to focus, since the page is hidden (x-cloak) until Alpine has started. */
  document.addEventListener("alpine:initialized", () => {
    window.Alpine.nextTick(() => {
      if (document.activeElement === document.body) document.querySelector("#login-form [autofocus]")?.focus();
    });
  });

  /* Keyboard and screen reader: Unfold makes some buttons of <a> without address, <div> or <span>, and icons of their names. */
  const ICON = ".material-symbols-outlined";
  const NOT_A_BUTTON = ["a:not([href])", "div.cursor-pointer", `span${ICON}`].map((one) => `${one}[x-on\\:click]`).join(", ");
  const ICON_LABELS = {
    add: "Add",
    close: "Close",
    cancel: "Do not sort by this column",
    arrow_circle_up: "Sort the other way",
    arrow_circle_down: "Sort the other way",
    dock_to_right: "Show or hide the menu",
    menu: "Show or hide the menu",
    wb_twilight: "Dashboard",
  };

  const nameIcons = (control) => {
    const icons = [...control.querySelectorAll(ICON), ...(control.matches(ICON) ? [control] : [])];
    const words = icons.map((icon) => icon.textContent.trim());
    const text = icons.reduce((left, icon) => left.replace(icon.textContent, ""), control.textContent).trim();
    if (text || !words.length || control.getAttribute("aria-label") || control.getAttribute("aria-labelledby")) return;
    const label = control.title || ICON_LABELS[words[0]] || words[0].replaceAll("_", " ");
    control.setAttribute("aria-label", label);
  };

  const openedBy = (control) =>
    control.getAttribute("x-on:click").startsWith("filterOpen")
      ? document.getElementById("changelist-filter")
      : control.parentElement.querySelector(":scope > nav");

  const makeOperable = (control) => {
    control.tabIndex = 0;
    control.setAttribute("role", "button");
    control.addEventListener("keydown", (event) => {
      if (event.target !== control || !["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      control.click();
      const first = () => openedBy(control)?.querySelector("a[href], button, input:not([type=hidden]), select, [tabindex='0']");
      window.Alpine.nextTick(() => window.requestAnimationFrame(() => first()?.focus()));
    });
  };

  document.addEventListener("alpine:initialized", () => {
    document.querySelectorAll(NOT_A_BUTTON).forEach(makeOperable);
    document.querySelectorAll("a, button, [role=button]").forEach(nameIcons);
    document.querySelectorAll(`${ICON}:not([role])`).forEach((icon) => icon.setAttribute("aria-hidden", "true"));
  });

  /* Copy buttons: <button data-copy="id of what is copied" data-copy-name="what it is called">. */
  const copiedText = (source) => ("value" in source ? source.value : source.textContent);

  const putOnClipboard = async (source) => {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(copiedText(source));
      return;
    }
    /* Without HTTPS browsers have no clipboard API: select the text and copy the selection. */
    const scratch = document.createElement("textarea");
    scratch.value = copiedText(source);
    document.body.append(scratch);
    scratch.select();
    const copied = document.execCommand("copy");
    scratch.remove();
    if (!copied) throw new Error("refused");
  };

  const say = (button, text) => {
    const status = document.getElementById(button.dataset.status) || document.getElementById("copy-status");
    if (status) status.textContent = text;
  };

  const copy = async (button) => {
    const name = button.dataset.copyName;
    try {
      await putOnClipboard(document.getElementById(button.dataset.copy));
      say(button, `${name} copied.`);
    } catch {
      say(button, `The browser does not let us copy. Select the ${name.toLowerCase()} and copy it yourself.`);
    }
  };

  /* Regenerate buttons: 20 characters of [A-Za-z0-9] from the browser's cryptographic source, each equally likely. */
  const ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  const LENGTH = 20;

  const randomText = () => {
    let text = "";
    while (text.length < LENGTH) {
      const [byte] = crypto.getRandomValues(new Uint8Array(1));
      /* 248 is the largest multiple of 62 in a byte: what lies beyond would favour the first letters. */
      if (byte < 248) text += ALPHANUMERIC[byte % ALPHANUMERIC.length];
    }
    return text;
  };

  const regenerate = (button) => {
    const field = document.getElementById(button.dataset.regenerate);
    field.value = randomText();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    say(button, `New ${button.dataset.copyName.toLowerCase()}. It counts once you save.`);
  };

  const addRow = (button) => {
    const list = document.getElementById(button.dataset.addRow);
    const total = document.getElementById(button.dataset.total);
    const template = document.getElementById(button.dataset.template);
    const row = document.createElement("div");
    row.innerHTML = template.innerHTML.replaceAll("__prefix__", total.value);
    total.value = Number(total.value) + 1;
    const added = row.firstElementChild;
    list.append(added);
    added.querySelector("input, select").focus();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy) copy(button);
    if (button.dataset.regenerate) regenerate(button);
    if (button.dataset.addRow) addRow(button);
  });
})();
