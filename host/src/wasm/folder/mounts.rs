//! Whether the kernel tells of changes in a folder: on network and shared file systems it does not, where somebody else makes them.

use std::path::{Path, PathBuf};

/// File systems whose content changes without an event on this machine.
const SILENT: [&str; 14] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "fuse", "ceph", "afs", "lustre", "vboxsf", "prl_fs", "vmhgfs"];

/// The type of the file system under `path`, where it is one on which events do not arrive. None as well where this cannot be found out.
pub(super) fn silent_file_system(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = file_system(&mounts, &path)?;
    let silent = SILENT.contains(&kind) || kind.starts_with("fuse.");
    silent.then(|| kind.to_owned())
}

/// The type of the file system that `path` lies on. A line of `mountinfo` (proc(5)): `36 35 98:0 /root /mount/point options [fields] - TYPE SOURCE OPTIONS`.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else { continue };
        let point = unescape(point);
        let depth = point.components().count();
        // The same depth again is a later mount over the earlier one.
        if path.starts_with(&point) && best.is_none_or(|(deepest, _)| depth >= deepest) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Blanks and the like in a mount point are written as `\040`.
fn unescape(point: &str) -> PathBuf {
    let mut out = String::with_capacity(point.len());
    let mut rest = point;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    PathBuf::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /mnt/my\\040share rw - nfs4 server:/export rw
31 22 0:41 / /mnt rw master:3 - tmpfs tmpfs rw
32 22 0:42 / /home rw - ext4 /dev/vdb rw
33 32 0:43 / /home rw - fuse.sshfs host: rw
";

    #[test]
    fn the_deepest_and_latest_mount_counts() {
        let kind = |path: &str| file_system(MOUNTS, Path::new(path));
        assert_eq!(kind("/srv/plugins"), Some("ext4"));
        assert_eq!(kind("/mnt/my share/plugins"), Some("nfs4"));
        assert_eq!(kind("/mnt/my"), Some("tmpfs"));
        assert_eq!(kind("/home/a/plugins"), Some("fuse.sshfs"));
        assert_eq!(kind("/homes"), Some("ext4"));
    }

    #[test]
    fn a_temporary_folder_on_this_machine_has_events() {
        assert_eq!(silent_file_system(tempfile::tempdir().unwrap().path()), None);
    }
}
