//! `cairn login`, `logout` and `profile`.

use std::io::Read as _;

use cairn_api::Operation;
use clap::ArgMatches;
use serde_json::{Map, Value, json};

use crate::client::{Answer, Auth, Client, server_address};
use crate::output::{self, Format};
use crate::profile::{self, DEFAULT_SERVER, Profile, Profiles};
use crate::{Failure, Result, arguments, call, terminal};

/// Logs in and makes the profile the current one.
pub fn login(matches: &ArgMatches) -> Result<()> {
    let mut profiles = Profiles::load()?;
    let asked = profile::asked(matches.get_one::<String>("@profile"));
    let name = profiles.name(asked.as_deref());
    // A new profile is for the same server as the current one, unless it is said otherwise.
    let current = profiles.profiles.get(&profiles.name(None));
    let known = profiles.profiles.get(&name).or(current).map(|p| p.server.clone());
    let typed = matches.get_one::<String>("@server").cloned().or_else(|| std::env::var("CAIRN_SERVER").ok());
    let server = server_address(&typed.or(known).unwrap_or_else(|| DEFAULT_SERVER.to_owned()))?;
    let fresh = match matches.get_one::<String>("access-key") {
        Some(id) => with_access_key(&server, id, &password(matches, &format!("Secret of {id}: "))?)?,
        None => {
            let account = matches.get_one::<String>("account").cloned().unwrap_or_else(|| "admin".to_owned());
            with_password(
                &server,
                &account,
                &password(matches, &format!("Password of {account} at {server}: "))?,
            )?
        }
    };
    let who = fresh.account.clone().or_else(|| fresh.access_key_id.clone()).unwrap_or_default();
    profiles.profiles.insert(name.clone(), fresh);
    profiles.current = name.clone();
    profiles.save()?;
    output::write(&format!("Logged in to {server} as {who}, profile {name}.\n"))
}

/// From standard input, the environment or a prompt.
fn password(matches: &ArgMatches, prompt: &str) -> Result<String> {
    if matches.get_flag("password-stdin") {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|e| Failure::Failed(format!("cannot read the password: {e}")))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Ok(password) = std::env::var("CAIRN_PASSWORD") {
        return Ok(password);
    }
    terminal::ask_secret(prompt).unwrap_or_else(|| {
        Err(Failure::Usage(
            "there is no terminal to ask for the password: use --password-stdin or CAIRN_PASSWORD".to_owned(),
        ))
    })
}

fn with_password(server: &str, account: &str, password: &str) -> Result<Profile> {
    let params = json!({"accountName": account, "password": arguments::hash(password)});
    let answer = simple(&Client::new(server, Auth::None), "LogInByAccount", params)?;
    let session = answer.pointer("/inventory/uuid").and_then(Value::as_str);
    let Some(session) = session else { return Err(Failure::Failed(format!("{server} gave no session"))) };
    Ok(Profile {
        server: server.to_owned(),
        account: Some(account.to_owned()),
        session: Some(session.to_owned()),
        ..Profile::default()
    })
}

/// Tries the key with a harmless call: nothing else would tell that it is wrong.
fn with_access_key(server: &str, id: &str, secret: &str) -> Result<Profile> {
    let client = Client::new(server, Auth::Key { id: id.to_owned(), secret: secret.to_owned() });
    simple(&client, "QueryVmInstance", json!({"count": "true"}))?;
    Ok(Profile {
        server: server.to_owned(),
        access_key_id: Some(id.to_owned()),
        access_key_secret: Some(secret.to_owned()),
        ..Profile::default()
    })
}

/// Makes a call by its action name. The answer must come at once.
pub fn simple(client: &Client, action: &str, params: Value) -> Result<Value> {
    let op = Operation::find(action).ok_or_else(|| Failure::Usage(format!("there is no action {action}")))?;
    let params = params.as_object().cloned().unwrap_or_else(Map::new);
    match client.call(&call::request(op, &params)?)? {
        Answer::Done(answer) => Ok(answer),
        Answer::Job(job) => {
            crate::job::wait(client, &job, &crate::job::Wait { label: action, timeout: None, quiet: true })
        }
    }
}

/// Ends the session on the server and forgets it.
pub fn logout(matches: &ArgMatches) -> Result<()> {
    let mut profiles = Profiles::load()?;
    let asked = profile::asked(matches.get_one::<String>("@profile"));
    let name = profiles.name(asked.as_deref());
    let profile = profiles.find(asked.as_deref())?;
    if profile.auth() == Auth::None {
        return output::write("Not logged in.\n");
    }
    if let Some(session) = &profile.session {
        simple(&Client::new(&profile.server, Auth::None), "LogOut", json!({"sessionUuid": session}))?;
    }
    let server = profile.server.clone();
    let left = Profile { server: profile.server, account: profile.account, ..Profile::default() };
    profiles.profiles.insert(name, left);
    profiles.save()?;
    output::write(&format!("Logged out of {server}.\n"))
}

/// `cairn profile list | use | delete`.
pub fn manage(matches: &ArgMatches, format: Format) -> Result<()> {
    let mut profiles = Profiles::load()?;
    let Some((verb, matches)) = matches.subcommand() else { return Ok(()) };
    if verb == "list" {
        return list(&profiles, format);
    }
    let name = matches.get_one::<String>("name").cloned().unwrap_or_default();
    profiles.find(Some(&name))?;
    if verb == "use" {
        profiles.current = name;
    } else {
        profiles.profiles.remove(&name);
        if profiles.current == name {
            profiles.current = String::new();
        }
    }
    profiles.save()
}

fn list(profiles: &Profiles, format: Format) -> Result<()> {
    let current = profiles.name(None);
    let rows: Vec<Value> = profiles.profiles.iter().map(|(name, p)| row(name, p, *name == current)).collect();
    if format != Format::Table {
        return output::print_value(format, &Value::Array(rows), None);
    }
    let columns = ["current", "name", "server", "account", "login"].map(str::to_owned);
    output::write(&output::list_table(&rows, None, Some(&columns), ""))
}

/// A profile without its secrets.
fn row(name: &str, profile: &Profile, current: bool) -> Value {
    let login = match profile.auth() {
        Auth::None => "none",
        Auth::Session(_) => "session",
        Auth::Key { .. } => "access key",
    };
    json!({
        "current": if current { "*" } else { "" },
        "name": name,
        "server": profile.server,
        "account": profile.account.as_ref().or(profile.access_key_id.as_ref()),
        "login": login,
    })
}
