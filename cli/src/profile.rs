//! Login profiles in `~/.config/cairn/config.json`, readable by their owner only.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::{Auth, Client, server_address};
use crate::{Failure, Result};

/// Server to talk to when nobody says which.
pub const DEFAULT_SERVER: &str = "http://localhost:8080";

/// One login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Profile {
    /// Address of the server.
    pub server: String,
    /// Name of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Session uuid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Access key id, instead of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// Secret of the access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_secret: Option<String>,
}

impl Profile {
    /// How calls of this profile are authorized.
    pub fn auth(&self) -> Auth {
        match (&self.session, &self.access_key_id, &self.access_key_secret) {
            (_, Some(id), Some(secret)) => Auth::Key { id: id.clone(), secret: secret.clone() },
            (Some(session), ..) => Auth::Session(session.clone()),
            _ => Auth::None,
        }
    }
}

/// All profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profiles {
    /// Name of the current profile.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current: String,
    /// Profiles by name.
    pub profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads the file; no file is no profiles.
    pub fn load() -> Result<Self> {
        Self::load_from(&path()?)
    }

    fn load_from(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| {
                Failure::Failed(format!("{} is damaged ({e}); mend or remove it", path.display()))
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(Failure::Failed(format!("cannot read {}: {e}", path.display()))),
        }
    }

    /// Writes the file whole or not at all, for its owner only.
    pub fn save(&self) -> Result<()> {
        let path = path()?;
        self.save_to(&path).map_err(|e| Failure::Failed(format!("cannot write {}: {e}", path.display())))
    }

    fn save_to(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let draft = path.with_extension(format!("json.{}", std::process::id()));
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    }

    /// Name of the profile to use: the one asked for, or the current one.
    pub fn name(&self, asked: Option<&str>) -> String {
        match asked {
            Some(name) => name.to_owned(),
            None if self.current.is_empty() => "default".to_owned(),
            None => self.current.clone(),
        }
    }

    /// The profile asked for. A name that was typed must exist.
    pub fn find(&self, asked: Option<&str>) -> Result<Profile> {
        let name = self.name(asked);
        match self.profiles.get(&name) {
            Some(profile) => Ok(profile.clone()),
            None if asked.is_none() => Ok(Profile::default()),
            None => Err(Failure::Usage(format!("there is no profile {name:?}; see `cairn profile list`"))),
        }
    }
}

fn path() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    folder.map(|folder| folder.join("cairn/config.json")).ok_or_else(|| {
        Failure::Failed("neither HOME nor XDG_CONFIG_HOME says where profiles are kept".to_owned())
    })
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The name of the profile that was asked for by flag or environment.
pub fn asked(flag: Option<&String>) -> Option<String> {
    flag.cloned().or_else(|| env("CAIRN_PROFILE"))
}

/// A client for what was typed: flags first, then the environment, then the profile.
pub fn connect(server_flag: Option<&String>, profile_flag: Option<&String>) -> Result<Client> {
    let profile = Profiles::load()?.find(asked(profile_flag).as_deref())?;
    let server = server_flag.cloned().or_else(|| env("CAIRN_SERVER"));
    let (base, auth) = choose(&profile, server.as_deref(), env("CAIRN_SESSION"))?;
    let is_own = auth != Auth::None && auth == profile.auth();
    Ok(Client::new(&base, auth).of_account(profile.account.filter(|_| is_own)))
}

/// Address and authorization. What a profile holds is never shown to another server than its own.
fn choose(profile: &Profile, server: Option<&str>, session: Option<String>) -> Result<(String, Auth)> {
    let own = if profile.server.is_empty() { DEFAULT_SERVER } else { &profile.server };
    let base = server_address(server.unwrap_or(own))?;
    let auth = match session {
        Some(session) => Auth::Session(session),
        None if base == server_address(own)? => profile.auth(),
        None => Auth::None,
    };
    Ok((base, auth))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn cli_01_profiles_are_kept_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config.json");
        assert_eq!(Profiles::load_from(&path), Ok(Profiles::default()));
        let profile =
            Profile { server: "http://a:8080".into(), session: Some("s".into()), ..Profile::default() };
        let profiles = Profiles { current: "lab".into(), profiles: [("lab".to_owned(), profile)].into() };
        profiles.save_to(&path).unwrap();
        assert_eq!(Profiles::load_from(&path), Ok(profiles));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "{").unwrap();
        assert!(Profiles::load_from(&path).is_err());
    }

    #[test]
    fn cli_01_a_session_is_not_shown_to_another_server() {
        let profile =
            Profile { server: "http://a:8080".into(), session: Some("s".into()), ..Profile::default() };
        let session = |s: &str| Auth::Session(s.to_owned());
        for (server, from_env, base, auth) in [
            (None, None, "http://a:8080", session("s")),
            (Some("a"), None, "http://a:8080", session("s")),
            (Some("b"), None, "http://b:8080", Auth::None),
            (Some("b"), Some("e"), "http://b:8080", session("e")),
            (None, Some("e"), "http://a:8080", session("e")),
        ] {
            assert_eq!(choose(&profile, server, from_env.map(str::to_owned)), Ok((base.to_owned(), auth)));
        }
    }
}
