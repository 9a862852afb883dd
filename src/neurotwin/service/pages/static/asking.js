// Questions to the service, and what its errors mean.

export class Refused extends Error {
  constructor(status, error) {
    const parts = [error.message, error.where && `(${error.where})`, error.expected && `Expected: ${error.expected}.`,
      error.remedy];
    super(parts.filter(Boolean).join(" "));
    this.status = status;
  }
}

export async function ask(path, body, options = {}) {
  const told = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, {
      ...told, ...options, credentials: "same-origin", headers: { "content-type": "application/json", accept: "application/json" },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: "The service cannot be reached." });
  }
  if (response.status === 401) {
    window.location.assign("/login");
    throw new Refused(401, { message: "Log in first." });
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, content.error ?? { message: `The service answered ${response.status}.` });
  return content;
}

/** A function that runs `work` for the last of many calls: never two at once, none forgotten. */
export function lastOf(work) {
  let busy = false;
  let again = false;
  return async function run() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    document.body.dataset.busy = true;
    do {
      again = false;
      await work();
    } while (again);
    busy = false;
    document.body.dataset.busy = false;
  };
}

export const told = () => JSON.parse(document.getElementById("told").textContent);
