-- What the platform itself keeps: sessions, jobs, workflow runs, events, audit, agents, settings.

CREATE TABLE session (
    uuid TEXT PRIMARY KEY,
    account_uuid TEXT NOT NULL,
    user_uuid TEXT NOT NULL,
    create_ms BIGINT NOT NULL,
    expired_ms BIGINT NOT NULL
);
CREATE INDEX session_account ON session (account_uuid);
CREATE INDEX session_expired ON session (expired_ms);

-- One asynchronous call. `state` is processing or done; a done one has a result or an error.
CREATE TABLE job (
    uuid TEXT PRIMARY KEY,
    action TEXT NOT NULL,
    account_uuid TEXT NOT NULL,
    run_uuid TEXT,
    state TEXT NOT NULL,
    result TEXT,
    error TEXT,
    web_hook TEXT,
    create_ms BIGINT NOT NULL,
    done_ms BIGINT
);
CREATE INDEX job_done ON job (done_ms);
CREATE INDEX job_state ON job (state);

-- One workflow run: the journal. `high` is the highest step begun, `done` how many are finished.
CREATE TABLE run (
    uuid TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    name TEXT NOT NULL,
    queue TEXT NOT NULL,
    resource_uuid TEXT,
    resource_type TEXT,
    account_uuid TEXT,
    state TEXT NOT NULL,
    data TEXT NOT NULL,
    steps TEXT NOT NULL,
    step TEXT,
    high BIGINT NOT NULL,
    done BIGINT NOT NULL,
    progress BIGINT NOT NULL,
    progress_text TEXT,
    result TEXT,
    error TEXT,
    cancel BIGINT NOT NULL,
    job_uuid TEXT,
    parent_uuid TEXT,
    owner TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    deadline_ms BIGINT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX run_state ON run (state);
CREATE INDEX run_resource ON run (resource_uuid);
CREATE INDEX run_parent ON run (parent_uuid);
CREATE INDEX run_job ON run (job_uuid);
CREATE INDEX run_account ON run (account_uuid);

-- Every state change, in commit order. `seq` never appears behind one already read.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    create_ms BIGINT NOT NULL,
    account_uuid TEXT,
    resource_type TEXT NOT NULL,
    resource_uuid TEXT NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX event_time ON event (create_ms);

CREATE TABLE audit (
    uuid TEXT PRIMARY KEY,
    account_uuid TEXT,
    user_uuid TEXT,
    action TEXT NOT NULL,
    resource_uuid TEXT,
    resource_type TEXT,
    params TEXT NOT NULL,
    source_ip TEXT,
    success BIGINT NOT NULL,
    error_code TEXT,
    took_ms BIGINT NOT NULL,
    job_uuid TEXT,
    create_ms BIGINT NOT NULL
);
CREATE INDEX audit_time ON audit (create_ms);
CREATE INDEX audit_resource ON audit (resource_uuid, create_ms);
CREATE INDEX audit_account ON audit (account_uuid, create_ms);

-- Machines whose agents may connect, by the common name of their certificate.
CREATE TABLE agent (
    uuid TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    local BIGINT NOT NULL,
    version TEXT,
    create_ms BIGINT NOT NULL
);

-- Settings that differ from their default.
CREATE TABLE global_config (
    category TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    PRIMARY KEY (category, name)
);

-- Work that must be tried until it succeeds: files on hosts that could not be reached, rows that age out.
CREATE TABLE cleanup (
    uuid TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    target_uuid TEXT NOT NULL,
    data TEXT NOT NULL,
    tries BIGINT NOT NULL,
    next_ms BIGINT NOT NULL,
    last_error TEXT,
    create_ms BIGINT NOT NULL
);
CREATE INDEX cleanup_target ON cleanup (target_uuid);
CREATE INDEX cleanup_next ON cleanup (next_ms);
