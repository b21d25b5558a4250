//! qemu-img: command lines as pure functions.

use std::path::Path;

use cairn_types::{Result, code};

use crate::process::Tool;

/// Arguments that make a thin qcow2 file, over `below` (path and format) if given.
pub fn create_args(path: &Path, size_bytes: u64, below: Option<(&Path, &str)>) -> Vec<String> {
    let mut args: Vec<String> = ["create", "-q", "-f", "qcow2"].map(str::to_owned).into();
    if let Some((file, format)) = below {
        args.extend([
            "-F".to_owned(),
            format.to_owned(),
            "-b".to_owned(),
            file.to_string_lossy().into_owned(),
        ]);
    }
    args.push(path.to_string_lossy().into_owned());
    // A disk is made of sectors.
    args.push(size_bytes.next_multiple_of(512).to_string());
    args
}

/// Makes a thin qcow2 file.
pub async fn create(path: &Path, size_bytes: u64, below: Option<(&Path, &str)>, what: &str) -> Result<()> {
    let args = create_args(path, size_bytes, below);
    let done = Tool::new("qemu-img", &args).run().await;
    done.map(drop).map_err(|e| e.fault(code::AGENT_STORAGE, format!("{what} could not be made")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_as_they_were() {
        let golden = "create -q -f qcow2 -F raw -b /ps/imageCache/i/i.raw /ps/tmp/v 1024";
        let below = (Path::new("/ps/imageCache/i/i.raw"), "raw");
        assert_eq!(create_args(Path::new("/ps/tmp/v"), 1000, Some(below)).join(" "), golden);
        assert_eq!(
            create_args(Path::new("/ps/tmp/v"), 512, None).join(" "),
            "create -q -f qcow2 /ps/tmp/v 512"
        );
    }
}
