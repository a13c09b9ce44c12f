// Work for later, and jobs that failed for good.
import { button, call, element, patch, set } from "../dom.js";

export const jobs = {
  id: "jobs",
  title: "Jobs",
  open(panel, { badge }) {
    const figures = element("p", { id: "jobs" });
    const list = element("ul");
    const empty = element("p", { className: "empty" }, "No job has failed for good. Work for later runs within a second: a full team's match, an approved message, a ticket's group.");
    panel.append(figures, list, empty);
    async function refresh() {
      const { waiting, dead, deadJobs } = await call("GET", "dev/jobs");
      set(figures, "textContent", `${waiting} waiting, ${dead} dead`);
      badge("jobs", waiting + dead, "jobs waiting or dead");
      patch(list, deadJobs, (j) => j.id, (job) => {
        const at = `dev/jobs/${encodeURIComponent(job.id)}`;
        const act = (label, method, path) => button(label, () => call(method, path).then(refresh), { "aria-label": `${label} ${job.id}` });
        return element("li", { className: "card" },
          element("code", {}, job.kind), element("p", {}, `${job.id}, after ${job.attempts} attempts: ${job.error ?? ""}`),
          act("Redrive", "POST", `${at}/redrive`), act("Drop", "DELETE", at));
      });
      set(empty, "hidden", deadJobs.length > 0);
    }
    return { refresh };
  },
};
