//! `cairn-ctl` on a data folder of its own, with a stand-in for the server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use argon2::{Argon2, PasswordHash, PasswordVerifier as _};
use cairn_store::{Store, params};
use serde_json::{Value, json};

use crate::mock::{Mock, Ran, answer, hang_up};

/// A data folder with a database that has an admin account and a session.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Self { dir };
        folder.sql("INSERT INTO account (uuid, name, password_hash, create_ms, last_op_ms) VALUES ('a1', 'admin', 'old', 0, 0)");
        folder.sql("INSERT INTO session (uuid, account_uuid, user_uuid, create_ms, expired_ms) VALUES ('s1', 'a1', 'a1', 0, 9)");
        folder
    }

    fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn store<T: Send + 'static>(
        &self,
        f: impl FnMut(&mut dyn cairn_store::Tx) -> cairn_types::Result<T> + Send + 'static,
    ) -> T {
        let path = self.path().join("cairn.db");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { Store::open(&path, 1).unwrap().write(f).await.unwrap() })
    }

    fn sql(&self, sql: &'static str) {
        self.store(move |tx| tx.execute(sql, params![]).map(|_| ()));
    }

    fn count(&self, sql: &'static str) -> i64 {
        self.store(move |tx| tx.query_int(sql, params![]))
    }

    fn ctl(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn-ctl"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("CAIRN_HOME", self.path()).stdin(Stdio::null());
        command
            .env("CAIRN_PASSWORD", "new secret")
            .env("CAIRN_SERVER_PROGRAM", self.path().join("bin/cairn-server"));
        command.args(args).output().unwrap().into()
    }

    /// A program that looks like the server to `cairn-ctl`: it has its name and ends when it is asked to.
    fn stand_in(&self, script: &str) {
        let bin = self.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let program = bin.join("cairn-server");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn addresses(&self, api: &str, page: &str) {
        let settings = json!({"apiAddress": api, "pageAddress": page});
        std::fs::write(self.path().join("server.json"), settings.to_string()).unwrap();
    }
}

/// Says hello on the log and stays until it is told to end.
const OBEDIENT: &str =
    "echo ready >&2; trap 'rm \"$2/up\"; kill $!; exit 0' TERM; touch \"$2/up\"; sleep 600 & wait";

/// Answers like a server while the file `up` says that one runs.
fn api_of(folder: PathBuf) -> Mock {
    Mock::start(move |_, _| match folder.join("up").exists() {
        true => answer(200, json!({})),
        false => hang_up(),
    })
}

#[test]
fn ops_01_start_status_restart_and_stop() {
    let folder = Folder::new();
    let api = api_of(folder.path());
    folder.addresses(&api.address, &api.address);
    folder.stand_in(OBEDIENT);
    let before = folder.ctl(&["status"]);
    assert_eq!(before.code, 1);
    assert!(before.out.contains("Management node: Stopped"), "{}", before.out);

    let started = folder.ctl(&["start", "--timeout", "20"]);
    assert_eq!(started.code, 0, "{}", started.err);
    let status = folder.ctl(&["status"]);
    assert_eq!(status.code, 0, "{}", status.out);
    let pid = std::fs::read_to_string(folder.path().join("server.pid")).unwrap().trim().to_owned();
    let home = folder.path().display().to_string();
    for line in [
        format!("Home:            {home}"),
        format!("Config file:     {home}/server.json"),
        format!("Log file:        {home}/server.log"),
        format!("PID:             {pid}"),
        "Management node: Running".to_owned(),
        "UI status:       Running".to_owned(),
        format!("UI URL:          http://{}", api.address),
        format!("Version:         {}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(status.out.lines().any(|l| l == line), "{line} is not in\n{}", status.out);
    }
    assert_eq!(folder.ctl(&["ui-status"]).code, 0);
    let json: Value = serde_json::from_str(&folder.ctl(&["status", "-o", "json"]).out).unwrap();
    assert_eq!((json["management_node"].as_str(), json["pid"].to_string()), (Some("Running"), pid.clone()));
    assert!(folder.ctl(&["start"]).out.contains("runs already"));

    assert_eq!(folder.ctl(&["restart", "--timeout", "20"]).code, 0);
    let second = std::fs::read_to_string(folder.path().join("server.pid")).unwrap().trim().to_owned();
    assert_ne!(pid, second);
    // A process that has ended has no command line, even before its parent has taken note.
    assert!(std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty());

    // The pid file may get lost; the server is found all the same.
    std::fs::remove_file(folder.path().join("server.pid")).unwrap();
    let stopped = folder.ctl(&["stop"]);
    assert_eq!((stopped.code, stopped.out.as_str()), (0, "The server has stopped.\n"));
    assert_eq!(folder.ctl(&["status"]).code, 1);
    assert_eq!(folder.ctl(&["ui-status"]).code, 1);
    assert!(folder.ctl(&["stop"]).out.contains("does not run"));
}

#[test]
fn ops_01_a_server_that_cannot_start_is_explained() {
    let folder = Folder::new();
    folder.addresses("127.0.0.1:1", "127.0.0.1:1");
    folder.stand_in("echo 'the address is in use' >&2; exit 3");
    let ran = folder.ctl(&["start"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("the address is in use") && ran.err.contains("exit status: 3"), "{}", ran.err);
    assert!(!folder.path().join("server.pid").exists());
    // A process id that now belongs to somebody else is neither reported nor killed.
    std::fs::write(folder.path().join("server.pid"), std::process::id().to_string()).unwrap();
    assert!(folder.ctl(&["stop"]).out.contains("does not run"));
    let other = Mock::start(|_, _| answer(200, json!({})));
    folder.addresses(&other.address, &other.address);
    let ran = folder.ctl(&["start"]);
    assert!(ran.code == 1 && ran.err.contains("another program answers"), "{}", ran.err);
    assert!(folder.ctl(&["status"]).out.contains("Port taken by another program"));
}

#[test]
fn ops_01_a_server_that_does_not_end_is_killed() {
    let folder = Folder::new();
    let api = api_of(folder.path());
    folder.addresses(&api.address, &api.address);
    folder.stand_in("trap '' TERM; touch \"$2/up\"; while :; do sleep 0.1; done");
    assert_eq!(folder.ctl(&["start"]).code, 0);
    let ran = folder.ctl(&["stop", "--timeout", "1"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "The server has stopped.\n"), "{}", ran.err);
}

#[test]
fn ops_11_reset_password_sets_it_and_ends_sessions() {
    let folder = Folder::new();
    let ran = folder.ctl(&["reset-password"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!ran.out.contains("new secret"));
    let hash = folder.store(|tx| {
        let row = tx.query_opt("SELECT password_hash FROM account WHERE name = 'admin'", params![])?;
        Ok(row.unwrap().value_at(0).as_text().unwrap_or_default().to_owned())
    });
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    let sent = cairn_cli::arguments::hash("new secret");
    assert!(Argon2::default().verify_password(sent.as_bytes(), &PasswordHash::new(&hash).unwrap()).is_ok());
    assert_eq!(folder.count("SELECT count(*) FROM session"), 0);
    // A running server is told to forget the sessions that it has in memory.
    folder.sql("INSERT INTO session (uuid, account_uuid, user_uuid, create_ms, expired_ms) VALUES ('s2', 'a1', 'a1', 0, 9)");
    let server = Mock::start(|_, _| answer(200, json!({})));
    folder.addresses(&server.address, &server.address);
    assert_eq!(folder.ctl(&["reset-password"]).code, 0);
    assert!(server.lines().contains(&"DELETE /zstack/v1/accounts/sessions/s2".to_owned()));
    let ran = folder.ctl(&["reset-password", "--account", "nobody"]);
    assert!(ran.code == 1 && ran.err.contains("there is no account"), "{}", ran.err);
    let ran = folder.ctl(&["reset-password", "--data-dir", "/does/not/exist"]);
    assert_eq!(ran.code, 1, "no database is made where none was");
}

#[test]
fn ops_10_backup_and_restore_bring_back_what_was() {
    let folder = Folder::new();
    let file = folder.path().join("saved.db");
    let name = file.to_str().unwrap();
    let ran = folder.ctl(&["backup", name]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.ctl(&["backup", name]).code, 2, "a backup replaces nothing");
    folder.sql("DELETE FROM session");
    let ran = folder.ctl(&["restore", name]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(folder.count("SELECT count(*) FROM session"), 1);
    let kept =
        std::fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
    let kept: Vec<String> = kept.filter(|n| n.starts_with("cairn.db.before-")).collect();
    assert!(!kept.is_empty(), "the old database is kept");
    let aside = folder.path().join(kept.iter().min_by_key(|n| n.len()).unwrap());
    let old = rusqlite::Connection::open(aside).unwrap();
    assert_eq!(old.query_row("SELECT count(*) FROM session", [], |r| r.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn ops_10_restore_refuses_what_is_no_database_of_ours() {
    let folder = Folder::new();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let saved = folder.path().join("saved.db");
    assert_eq!(folder.ctl(&["backup", saved.to_str().unwrap()]).code, 0);
    let mut cut = std::fs::read(&saved).unwrap();
    cut.truncate(cut.len() / 2);
    let newer = folder.path().join("newer.db");
    std::fs::copy(&saved, &newer).unwrap();
    let future = "INSERT INTO schema_migration VALUES (9999, 'future', 0)";
    rusqlite::Connection::open(&newer).unwrap().execute_batch(future).unwrap();
    for (source, why) in [
        (file("text.db", b"hello"), "not a Cairn database"),
        (file("empty.db", b""), "not a Cairn database"),
        (other.to_str().unwrap().to_owned(), "not a Cairn database"),
        (file("cut.db", &cut), "da"),
        (newer.to_str().unwrap().to_owned(), "newer"),
        ("/does/not/exist".to_owned(), "cannot read"),
    ] {
        let ran = folder.ctl(&["restore", &source]);
        assert!(ran.code == 1 && ran.err.contains(why), "{source}: {} {}", ran.code, ran.err);
    }
    assert_eq!(folder.count("SELECT count(*) FROM session"), 1, "the database is untouched");
    let api = api_of(folder.path());
    folder.addresses(&api.address, &api.address);
    folder.stand_in(OBEDIENT);
    assert_eq!(folder.ctl(&["start"]).code, 0);
    let ran = folder.ctl(&["restore", saved.to_str().unwrap()]);
    assert!(ran.code == 1 && ran.err.contains("stop it first"), "{}", ran.err);
    assert_eq!(folder.ctl(&["stop"]).code, 0);
}
