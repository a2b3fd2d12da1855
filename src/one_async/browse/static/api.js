// Requests to the server of this page. Addresses are relative, so that they begin with its secret.

/** Return an answer as JSON; raise an Error with the server's text. */
export async function get(name, parameters = {}, signal = undefined) {
  const query = parameters instanceof URLSearchParams ? parameters : new URLSearchParams(parameters);
  const response = await fetch(`api/${name}?${query}`, { signal });
  const answer = (response.headers.get("content-type") ?? "").includes("json") ? await response.json() : null;
  if (!response.ok) throw new Error(answer?.error ?? `the server answered ${response.status}`);
  return answer;
}

/** Return a function of which only the latest call matters: earlier ones are aborted and never resolve. */
export function latest(work) {
  let controller = null;
  return async (...values) => {
    controller?.abort();
    const mine = (controller = new AbortController());
    try {
      const answer = await work(mine.signal, ...values);
      if (mine === controller) return answer;
    } catch (error) {
      if (mine === controller && error.name !== "AbortError") throw error;
    }
    return new Promise(() => {});
  };
}
