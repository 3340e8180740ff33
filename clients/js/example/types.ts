// Checked by `npm run check`: the types fit what a page does.

import { ApiClient, ApiError, BackgroundJobs } from "../index.js";
import { useBackgroundJobs } from "../react/index.js";

export async function ingest(files: File[]): Promise<string> {
  const client = new ApiClient({ baseUrl: "https://jobs.example.com", token: async () => "secret" });
  const { documents } = await client.uploadDocuments(files, { projectId: "p" });
  try {
    const { jobId } = await client.startJob("bulk-documents", { documents: documents.map(({ id }) => ({ id })) });
    const job = await client.waitForJob(jobId, { onChange: ({ progress }) => console.log(progress.percent) });
    return job.status;
  } catch (error) {
    if (error instanceof ApiError && error.code === "throttled") return `in ${error.retryAfter ?? 0} s`;
    throw error;
  }
}

export function names(): string[] {
  const { jobs, triggerReprocess } = useBackgroundJobs(new BackgroundJobs());
  void triggerReprocess({ documentIds: ["doc1"], newChunkSize: 500 }, { priority: "high" });
  return jobs.map((job) => job.name);
}
