//! A disk that is soon full: a small tmpfs on which a data folder can be put, filled to the brim and freed again.
//!
//! Needs root or `sudo` without a question, as CI has it; says so otherwise.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system of a few megabytes, unmounted on drop.
pub struct SmallDisk {
    place: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many bytes.
    pub fn mount(bytes: u64) -> SmallDisk {
        let place = TempDir::with_prefix("tandem-disk-").expect("a temporary folder");
        let options = format!("size={bytes},mode=0777");
        privileged(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tandem-test"]).arg(place.path()));
        SmallDisk { place }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Takes all space but about `left` bytes.
    pub fn fill(&self, left: u64) {
        let mut ballast = File::create(self.ballast()).expect("the small disk can be written");
        let page = [0_u8; 4096];
        while ballast.write_all(&page).is_ok() {}
        let taken = ballast.metadata().expect("the ballast is there").len();
        ballast.set_len(taken.saturating_sub(left)).expect("the ballast can be cut");
    }

    /// Gives the space back.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("the ballast can be removed");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a process that is about to be killed may still have files open there
        privileged(Command::new("umount").arg("--lazy").arg(self.place.path()));
    }
}

fn privileged(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    if output.status.success() {
        return;
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("-n").arg(command.get_program()).args(command.get_args());
    let allowed = sudo.output().is_ok_and(|output| output.status.success());
    assert!(
        allowed,
        "{command:?}: {}; the tests of a full disk need root, or sudo without a question (run `sudo -v` first)",
        String::from_utf8_lossy(&output.stderr)
    );
}
