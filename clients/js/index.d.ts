import type { components, operations } from "./openapi.js";

type Schemas = components["schemas"];
export type Job = Schemas["Job"];
export type JobWithSteps = Schemas["JobWithSteps"];
export type Started = Schemas["Started"];
export type Uploaded = Schemas["Uploaded"];
export type SearchAnswer = Schemas["SearchAnswer"];
export type WorkflowPayload = Schemas["WorkflowPayloadRequest"];
export type BulkDocumentsPayload = Schemas["BulkDocumentsPayloadRequest"];
export type ReprocessPayload = Schemas["ReprocessPayloadRequest"];
export type JobsQuery = NonNullable<operations["listJobs"]["parameters"]["query"]>;
export type SearchQuery = NonNullable<operations["search"]["parameters"]["query"]>;

interface Payloads {
  workflow: WorkflowPayload;
  "bulk-documents": BulkDocumentsPayload;
  "document-reprocess": ReprocessPayload;
}

type Signal = { signal?: AbortSignal };
/** The keys beside `payload` in the body of `POST /api/jobs`. */
export type StartOptions = Omit<Schemas["NewWorkflowJobRequest"], "jobType" | "payload"> & Signal;

export type Token = string | (() => string | null | Promise<string | null>);

export interface ClientOptions {
  /** The address of the AI Workstation. By default the page's own origin. */
  baseUrl?: string;
  /** Without a token, the session of the page's own origin is used. */
  token?: Token | null;
  fetch?: typeof fetch;
  /** Milliseconds for an answer. Uploads have no limit. */
  timeout?: number;
}

export class ApiError extends Error {
  /** 0 if there was no answer. */
  status: number;
  code: string;
  errors: Schemas["ErrorItem"][];
  /** Seconds to wait, from `Retry-After`. */
  retryAfter: number | null;
  requestId: string | null;
}

export interface RequestOptions extends Signal {
  query?: Record<string, unknown>;
  body?: unknown;
  idempotencyKey?: string;
  etag?: string | null;
  timeout?: number | null;
}

export class ApiClient {
  constructor(options?: ClientOptions);
  readonly baseUrl: string;
  timeout: number;
  request<Answer = unknown>(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  send<Answer = unknown>(
    method: string,
    path: string,
    options?: RequestOptions,
  ): Promise<{ status: number; data: Answer | null; etag: string | null }>;
  startJob<Type extends keyof Payloads>(jobType: Type, payload: Payloads[Type], options?: StartOptions): Promise<Started>;
  startJob(jobType: string, payload: Record<string, unknown>, options?: StartOptions): Promise<Started>;
  getJob(jobId: string, options?: Signal): Promise<JobWithSteps>;
  jobs(query?: JobsQuery & Signal): AsyncGenerator<Job, void, void>;
  cancelJob(jobId: string, options?: Signal): Promise<Job>;
  retryJob(jobId: string, options?: Signal): Promise<Job>;
  waitForJob(
    jobId: string,
    options?: Signal & { onChange?: (job: JobWithSteps) => void; interval?: number },
  ): Promise<JobWithSteps>;
  uploadDocuments(
    files: Iterable<Blob>,
    fields?: Signal & { id?: string; projectId?: string; tags?: string | string[]; mode?: string },
  ): Promise<Uploaded>;
  search(q: string, query?: Omit<SearchQuery, "q"> & Signal): Promise<SearchAnswer>;
}

export function newKey(): string;

export interface JobsSnapshot {
  /** The unfinished jobs: queued, running and waiting. */
  readonly jobs: readonly Job[];
  /** The jobs that finished last, if the store has `recent`. */
  readonly recentJobs: readonly Job[];
  /** There are more unfinished jobs than `jobs` has. */
  readonly hasMore: boolean;
  readonly hasRunningJobs: boolean;
  /** The first answer is missing, or a job is being started. */
  readonly isLoading: boolean;
  /** What went wrong last, as text. The promise of an action rejects with the ApiError. */
  readonly error: string | null;
  /** Polls that failed in a row. */
  readonly failures: number;
  /** The server refuses the token or the session. The store asks again when the page becomes visible. */
  readonly isRefused: boolean;
}

export interface StoreOptions extends ClientOptions {
  client?: ApiClient;
  /** Milliseconds between polls while jobs are unfinished, and while there are none. */
  interval?: number;
  idleInterval?: number;
  recent?: number;
}

export interface JobActions {
  triggerWorkflowJob(payload: WorkflowPayload, options?: StartOptions): Promise<Started>;
  triggerBulkDocuments(payload: BulkDocumentsPayload, options?: StartOptions): Promise<Started>;
  triggerReprocess(payload: ReprocessPayload, options?: StartOptions): Promise<Started>;
  cancelJob(jobId: string): Promise<Job>;
  retryJob(jobId: string): Promise<Job>;
  refreshJobs(): Promise<void>;
}

export class BackgroundJobs implements JobActions {
  constructor(options?: StoreOptions);
  readonly client: ApiClient;
  subscribe: (listener: () => void) => () => void;
  getSnapshot: () => JobsSnapshot;
  getServerSnapshot: () => JobsSnapshot;
  triggerWorkflowJob: JobActions["triggerWorkflowJob"];
  triggerBulkDocuments: JobActions["triggerBulkDocuments"];
  triggerReprocess: JobActions["triggerReprocess"];
  cancelJob: JobActions["cancelJob"];
  retryJob: JobActions["retryJob"];
  refreshJobs: JobActions["refreshJobs"];
}

export interface BackgroundJobsPanelElement extends HTMLElement {
  compact: boolean;
  token: Token | null;
  store: BackgroundJobs | null;
}

export function defineBackgroundJobsPanel(options?: { baseUrl?: string | null }): void;

declare global {
  interface HTMLElementTagNameMap {
    "background-jobs-panel": BackgroundJobsPanelElement;
  }
}
