//! Limits of the operating system that a process with many connections meets.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Allows as many open files as the administrator does; how many that are. A connection is one.
pub fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    if soft >= hard || setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() { soft } else { hard }
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_many_files_as_are_allowed_can_be_opened() {
        let limit = super::raise_open_files();
        let (soft, hard) =
            nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, soft), (limit, hard));
    }
}
