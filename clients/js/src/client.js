// The API over fetch. Nothing here needs a page: it runs in browsers, workers and Node.

const READING = new Set(["GET", "HEAD"]);
const TRIES = 4;
const FIRST_WAIT = 500; // milliseconds; doubles with each try
const MAX_WAIT = 60_000; // a longer Retry-After is for the caller to decide
const TIMEOUT = 30_000;
const SOMETHING_IN_BETWEEN = new Set([502, 503, 504]); // statuses of a proxy, or of a server that is restarting

/** A refused call: `status` is 0 if there was no answer. `code` is that of the first of `errors`. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "unreachable", errors = [], retryAfter = null, requestId = null, cause } = {}) {
    super(message, { cause });
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.errors = errors;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
  }
}

export class ApiClient {
  #token;
  #fetch;

  /** `token`: an API token, a function that returns one (or a promise of one), or nothing for the session of this origin. */
  constructor({ baseUrl, token = null, fetch, timeout = TIMEOUT } = {}) {
    this.baseUrl = checkedBase(baseUrl);
    this.timeout = timeout;
    this.#token = token;
    this.#fetch = fetch ?? ((...input) => globalThis.fetch(...input));
  }

  /** Returns the body of the answer. Repeats the call if that is safe, and throws ApiError. */
  async request(method, path, options = {}) {
    const isRepeatable = READING.has(method) || Boolean(options.idempotencyKey);
    for (let tries = 1; ; tries++) {
      try {
        return (await this.send(method, path, options)).data;
      } catch (error) {
        const wait = tries < TRIES ? waitBeforeRetry(error, tries, isRepeatable) : null;
        if (wait === null) throw error;
        await sleep(wait, options.signal);
      }
    }
  }

  /** Makes one call. Returns `{ status, data, etag }`; `data` is null after a 204 or a 304. */
  async send(method, path, { query, body, idempotencyKey, etag, signal, timeout = this.timeout } = {}) {
    const url = addressOf(this.baseUrl, path);
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const each of [value].flat()) if (each !== undefined && each !== null) url.searchParams.append(name, each);
    }
    const token = checkedToken(typeof this.#token === "function" ? await this.#token() : this.#token);
    const headers = new Headers({ Accept: "application/json" });
    if (token) headers.set("Authorization", `Bearer ${token}`);
    else if (!READING.has(method)) headers.set("X-CSRFToken", csrfToken());
    if (idempotencyKey) headers.set("Idempotency-Key", idempotencyKey);
    if (etag) headers.set("If-None-Match", etag);
    const isForm = typeof FormData !== "undefined" && body instanceof FormData;
    if (body !== undefined && !isForm) headers.set("Content-Type", "application/json");
    const response = await this.#answer(url, {
      method,
      headers,
      body: body === undefined || isForm ? body : JSON.stringify(body),
      signal: bounded(signal, timeout),
      credentials: token ? "omit" : "same-origin",
      redirect: "error", // a redirect could lead the token elsewhere
      cache: "no-store", // the tags are kept here
    }, signal);
    return { status: response.status, data: await bodyOf(response), etag: response.headers.get("ETag") };
  }

  async #answer(url, init, callersSignal) {
    let response;
    try {
      response = await this.#fetch(url, init);
    } catch (cause) {
      callersSignal?.throwIfAborted();
      if (cause?.name === "TimeoutError") throw new ApiError(`${url.origin} did not answer in time.`, { code: "timeout", cause });
      throw new ApiError(unreachable(url.origin), { cause });
    }
    if (!response.ok && response.status !== 304) throw await refusal(response);
    return response;
  }

  /** Starts a job. Without a key of your own, each call gets a new one, so that its repetitions start one job. */
  startJob(jobType, payload, { idempotencyKey = newKey(), signal, ...options } = {}) {
    return this.request("POST", "/api/jobs", { body: { jobType, payload, ...options }, idempotencyKey, signal });
  }

  getJob(jobId, { signal } = {}) {
    return this.request("GET", jobPath(jobId), { signal });
  }

  /** All jobs that match, newest first, page by page: `for await (const job of client.jobs({ status: "failed" }))`. */
  async *jobs({ signal, ...query } = {}) {
    let cursor;
    do {
      const page = await this.request("GET", "/api/jobs", { query: { ...query, cursor }, signal });
      yield* page.jobs;
      cursor = page.nextCursor;
    } while (cursor);
  }

  cancelJob(jobId, { signal } = {}) {
    return this.request("POST", `${jobPath(jobId)}/cancel`, { signal });
  }

  retryJob(jobId, { signal } = {}) {
    return this.request("POST", `${jobPath(jobId)}/retry`, { signal });
  }

  /** Resolves with the job when it is finished. `onChange` is called with each new state. */
  async waitForJob(jobId, { onChange, signal, interval = 2000 } = {}) {
    let etag = null;
    for (let failures = 0; ; ) {
      let wait = interval;
      try {
        const answer = await this.send("GET", jobPath(jobId), { etag, signal });
        failures = 0;
        etag = answer.etag;
        if (answer.data) onChange?.(answer.data);
        if (answer.data?.isFinished) return answer.data;
      } catch (error) {
        failures += 1;
        const longer = waitBeforeRetry(error, failures, true);
        if (longer === null) throw error;
        wait = Math.max(interval, longer);
      }
      await sleep(wait, signal);
    }
  }

  /** Uploads files (`File` or `Blob`). Returns `{ documents, rejected }`. */
  uploadDocuments(files, { signal, ...fields } = {}) {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) {
      for (const each of [value].flat()) if (each !== undefined && each !== null) form.append(name, each);
    }
    for (const file of files) form.append("file", file);
    return this.request("POST", "/api/documents", { body: form, signal, timeout: null });
  }

  search(q, { signal, ...query } = {}) {
    return this.request("GET", "/api/search", { query: { q, ...query }, signal });
  }
}

/** A random key. `crypto.randomUUID` exists on secure pages only. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The wait in milliseconds before the call is repeated, or null if it must not be. */
export function waitBeforeRetry(error, tries, isRepeatable) {
  if (!(error instanceof ApiError)) return null;
  const wasNotCarriedOut = error.status === 429;
  const mayBeRepeated = isRepeatable && (error.status === 0 || SOMETHING_IN_BETWEEN.has(error.status));
  if (!wasNotCarriedOut && !mayBeRepeated) return null;
  if (error.retryAfter !== null) return error.retryAfter * 1000 <= MAX_WAIT ? error.retryAfter * 1000 : null;
  return Math.min(MAX_WAIT, FIRST_WAIT * 2 ** (tries - 1)) * (1 + Math.random() / 4); // clients must not come back together
}

export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Empty where there is no page, as when React renders on a server: nothing is called there. */
function checkedBase(text) {
  const page = globalThis.location?.origin;
  if (!text && !page) return "";
  const url = new URL(text || page, page);
  if (!/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new TypeError(`baseUrl must be an address such as https://jobs.example.com, not ${text}`);
  }
  return url.href.replace(/\/+$/, "");
}

// Without the slash, the rest would become a part of the host, and the token would go there.
function addressOf(baseUrl, path) {
  if (!baseUrl) throw new TypeError("baseUrl is needed: the address of the AI Workstation, such as https://jobs.example.com");
  if (!path.startsWith("/")) throw new TypeError(`A path begins with a slash: /api/jobs, not ${path}`);
  return new URL(baseUrl + path);
}

// The browser's own error would quote the token.
function checkedToken(token) {
  if (token && !/^[\x21-\x7e]+$/.test(token)) throw new TypeError("The API token has a blank, or a character that no token has.");
  return token;
}

const jobPath = (jobId) => `/api/jobs/${encodeURIComponent(jobId)}`;

// Django sets this cookie with every page that has a form.
const csrfToken = () => globalThis.document?.cookie.match(/(?:^|; )csrftoken=([^;]*)/)?.[1] ?? "";

function bounded(signal, timeout) {
  const signals = [signal, timeout && AbortSignal.timeout(timeout)].filter(Boolean);
  return signals.length > 1 ? AbortSignal.any(signals) : signals[0];
}

function unreachable(origin) {
  const page = globalThis.location?.origin;
  const hint = page && page !== origin ? ` Is it running, and does its CORS_ORIGINS list ${page}?` : "";
  return `${origin} cannot be reached.${hint}`;
}

async function bodyOf(response) {
  if (response.status === 204 || response.status === 304) return null;
  try {
    return await response.json();
  } catch (cause) {
    throw new ApiError("The answer was cut, or it is no JSON.", { status: 0, code: "not_json", cause });
  }
}

async function refusal(response) {
  const { errors = [] } = (await response.json().catch(() => null)) ?? {}; // a proxy's page is no JSON
  const text = errors.map(({ attr, detail }) => (attr ? `${attr}: ${detail}` : detail)).join(" ");
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new ApiError(text || `The server answered with status ${response.status}.`, {
    status: response.status,
    code: errors[0]?.code ?? "error",
    errors,
    retryAfter: Number.isNaN(seconds) ? null : seconds,
    requestId: response.headers.get("X-Request-Id"),
  });
}
