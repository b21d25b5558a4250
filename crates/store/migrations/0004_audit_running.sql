-- An audit row whose run has not ended has -1 for how long it took; its end finds it by the job.
CREATE INDEX audit_running ON audit (job_uuid) WHERE took_ms < 0;
