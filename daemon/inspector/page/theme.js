/** Light or dark: as the system has it, until somebody says otherwise. */

const KEY = "millrace.theme";

export function applyTheme() {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "light" || chosen === "dark")
    document.documentElement.dataset["theme"] = chosen;
  else delete document.documentElement.dataset["theme"];
}

function isDark() {
  const chosen = document.documentElement.dataset["theme"];
  if (chosen !== undefined) return chosen === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

export function nextTheme() {
  localStorage.setItem(KEY, isDark() ? "light" : "dark");
  applyTheme();
}
