// The language of the chat, and how it writes times.
const languages = { en: () => import("./lang-en.js"), ja: () => import("./lang-ja.js"), zh: () => import("./lang-zh.js") };
const rightToLeft = new Set(["ar", "fa", "he", "iw", "ur", "ckb", "dv", "ps", "sd", "ug", "yi"]);

// loadLanguage returns t(key, ...values) for a language such as "ja" or "zh-CN";
// English for one that there is none of. t.language is what is spoken.
export async function loadLanguage(wanted) {
  const code = String(wanted || "en").toLowerCase().split(/[-_]/)[0];
  const language = languages[code] ? code : "en";
  const { default: texts } = await languages[language]();
  const t = (key, ...values) => (texts[key] ?? key).replace(/\{(\d)\}/g, (_, n) => values[n] ?? "");
  t.language = language;
  return t;
}

// directionOf tells the direction of a page: what it says itself, or its language's.
export function directionOf(root) {
  return root.dir || (rightToLeft.has((root.lang || "").toLowerCase().split("-")[0]) ? "rtl" : "ltr");
}

export function timeOf(at, language) {
  return new Date(at).toLocaleTimeString(language, { hour: "numeric", minute: "2-digit" });
}

export function dayOf(at, t) {
  const midnight = (d) => new Date(d).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(Date.now()) - midnight(at)) / 86_400_000);
  if (days === 0) return t("today");
  if (days === 1) return t("yesterday");
  return new Date(at).toLocaleDateString(t.language, { day: "numeric", month: "long", year: days > 300 ? "numeric" : undefined });
}
